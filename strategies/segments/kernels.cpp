#include "strategies/segments/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "strategies/segments/attention.hpp"

namespace rehearse {
namespace {

Bytes scaled(double factor, Bytes b) {
  return Bytes(std::llround(factor * static_cast<double>(b.value)));
}

Bytes traffic(const Traffic& t, Bytes input, const TrafficBase& base) {
  Bytes all(0);
  for (Bytes b : base.inputs) all += b;
  return scaled(t.input, input) + scaled(t.inputs, all) + scaled(t.output, base.output) +
         scaled(t.parameters, base.parameters);
}

struct LinearShape {
  std::int64_t tokens, in, out, groups, batch;
};

LinearShape linear_shape(const OpGraph& g, const Op& op) {
  const Tensor& x = g.tensor(op.inputs[0]);
  const Tensor& w = g.tensor(op.parameters[0]);
  const std::int64_t in = w.dims.back().size;
  const std::int64_t batch = op.kind == OpKind::kHeadLinear ? w.dims.front().size : 1;
  const auto groups =
      std::count_if(op.groups.begin(), op.groups.end(), [](std::int64_t rows) { return rows > 0; });
  return {x.elements() / in / batch, in, w.dims[w.dims.size() - 2].size,
          std::max<std::int64_t>(1, groups), batch};
}

std::int64_t axis_size(const Tensor& t, Axis axis) {
  for (const Dim& d : t.dims)
    if (d.axis == axis) return d.size;
  return 1;
}

// The two batched products of unfused attention: scores = q k^T and context = p v.
GemmWork batched(const KernelContext& c, const Tensor& scores, std::int64_t head_size,
                 bool is_scores) {
  GemmWork w;
  w.batch = axis_size(scores, Axis::kBatch) * axis_size(scores, Axis::kHeads);
  w.m = axis_size(scores, Axis::kSequence);
  const std::int64_t keys = axis_size(scores, Axis::kKeySequence);
  w.n = is_scores ? keys : head_size;
  w.k = is_scores ? head_size : keys;
  w.dtype = c.precision.matmul == DType::kTf32 ? DType::kTf32 : c.precision.compute;
  w.out = c.precision.compute;
  return w;
}

GemmWork unfused_product(const KernelContext& c, const OpGraph& g, const Op& op) {
  const bool is_scores = op.kind == OpKind::kScores;
  const Tensor& scores = g.tensor(is_scores ? op.outputs[0] : op.inputs[0]);
  const Tensor& other = g.tensor(is_scores ? op.inputs[0] : op.inputs[1]);
  return batched(c, scores, axis_size(other, Axis::kHeadSize), is_scores);
}

void append(std::vector<Kernel>& to, std::vector<Kernel> from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

bool gathered_in_fp8(const KernelContext& c, const OpGraph& g, const Op& op, bool forward) {
  return c.runtime.gathers_fp8 && c.precision.matmul == DType::kFp8 &&
         op.kind == (forward ? OpKind::kGather : OpKind::kScatter) &&
         size_of(g.tensor(op.inputs[0]).dtype) == Bytes(2);
}

TrafficBase traffic_base(const OpGraph& g, const Op& op) {
  TrafficBase b;
  for (TensorId i : op.inputs) b.inputs.push_back(g.tensor(i).bytes());
  for (TensorId o : op.outputs)
    if (g.tensor(o).view_of == kNoTensor) b.outputs.push_back(g.tensor(o).bytes());
  b.output = g.tensor(op.outputs[0]).bytes();
  b.element = size_of(g.tensor(op.outputs[0]).dtype);
  b.columns = g.tensor(op.outputs[0]).dims.back().size;
  b.rows = g.tensor(op.outputs[0]).elements() / std::max<std::int64_t>(1, b.columns);
  const Tensor& out = g.tensor(op.outputs[0]);
  b.sequences = axis_size(out, Axis::kBatch);
  b.tokens = b.sequences * axis_size(out, Axis::kSequence);
  b.matrices = axis_size(out, Axis::kBatch) * axis_size(out, Axis::kHeads);
  for (TensorId p : op.parameters) b.parameters += g.tensor(p).bytes();
  return b;
}

std::vector<Kernel> template_kernels(const KernelContext& c, const PassTemplate& pass,
                                     const TrafficBase& base) {
  std::vector<Kernel> out;
  const Bytes first = base.inputs.empty() ? Bytes(0) : base.inputs[0];
  auto add = [&](const KernelTemplate& k, Bytes input) {
    if (base.tokens < k.least_tokens || base.sequences < k.least_sequences) return;
    if (k.matrices_by > 0 && base.matrices % k.matrices_by != 0) return;
    if (k.matrices_not_by > 0 && base.matrices % k.matrices_not_by == 0) return;
    MemoryWork w;
    w.kernel_class = k.kernel_class;
    w.rows = base.rows;
    if (k.columns_per_block > 0)
      w.blocks = std::max<std::int64_t>(1, base.columns / k.columns_per_block);
    w.read = traffic(k.read, input, base);
    w.written = traffic(k.write, input, base);
    w.elements = max(w.written, Bytes(w.read.value / 2)).value /
                 std::max<std::int64_t>(1, base.element.value);
    out.push_back({w, c.names.intern(k.name), k.synchronizes, k.host});
  };
  // Kernels of each tensor run tensor by tensor; the order does not change a price.
  const auto add_each = [&](KernelTemplate::Each each, const std::vector<Bytes>& tensors) {
    for (Bytes t : tensors)
      for (const KernelTemplate& k : pass.kernels)
        if (k.each == each) add(k, t);
  };
  for (const KernelTemplate& k : pass.kernels)
    if (k.each == KernelTemplate::Each::kOnce)
      for (int i = 0; i < k.count; ++i) add(k, first);
  add_each(KernelTemplate::Each::kInput, base.inputs);
  add_each(KernelTemplate::Each::kOutput, base.outputs);
  return out;
}

const OperatorTemplate& template_of(const Runtime& runtime, const OpGraph& g, const Op& op) {
  const bool mixed = op.kind == OpKind::kAdd && op.inputs.size() == 2 &&
                     g.tensor(op.inputs[0]).dtype != g.tensor(op.inputs[1]).dtype;
  return mixed && !runtime.mixed_add.forward.kernels.empty() ? runtime.mixed_add
                                                             : runtime.of(op.kind);
}

std::vector<Bytes> temporaries(const PassTemplate& pass, const TrafficBase& base) {
  Bytes all(0);
  for (Bytes b : base.inputs) all += b;
  const std::pair<double, Bytes> terms[] = {
      {pass.temporary.input, base.inputs.empty() ? Bytes(0) : base.inputs[0]},
      {pass.temporary.inputs, all},
      {pass.temporary.output, base.output},
      {pass.temporary.parameters, base.parameters}};
  std::vector<Bytes> out;
  for (const auto& [factor, unit] : terms) {
    double left = factor;
    for (; left >= 1; left -= 1) out.push_back(unit);
    if (left > 0) out.push_back(scaled(left, unit));
  }
  return out;
}

namespace {

// The runtime's table describes a cast to a wider type (logits to fp32); the forward of a cast to a
// narrower one is what that one's backward is, and the other way round.
std::vector<Kernel> pass_kernels(const KernelContext& c, const OpGraph& g, const Op& op,
                                 bool forward, std::optional<bool> of_parameters = {}) {
  // What was one behind the other is cut without a copy where nothing has to be sorted by sender.
  if (op.kind == OpKind::kJoin && op.parts == 1 && !forward) return {};
  // Without sequence parallelism nothing is brought into order.
  const bool meets = op.kind == OpKind::kGather || op.kind == OpKind::kScatter;
  if (meets && g.tensor(op.outputs[0]).view_of != kNoTensor) return {};
  OperatorTemplate t = template_of(c.runtime, g, op);
  if (of_parameters)
    std::erase_if(t.backward.kernels,
                  [&](const KernelTemplate& k) { return k.of_parameters != *of_parameters; });
  TrafficBase base = traffic_base(g, op);
  if (op.kind == OpKind::kCast && base.output < base.inputs[0]) {
    std::swap(base.output, base.inputs[0]);
    base.element = size_of(g.tensor(op.inputs[0]).dtype);
    forward = !forward;
  }
  if (gathered_in_fp8(c, g, op, forward)) {
    base.output = Bytes(base.output.value / 2);
    for (Bytes& b : base.inputs) b = Bytes(b.value / 2);
    base.element = Bytes(1);
  }
  return template_kernels(c, forward ? t.forward : t.backward, base);
}

std::vector<Kernel> quantizing_kernels(const KernelContext& c, const OpGraph& g, const Op& op,
                                       const PassTemplate& pass) {
  if (c.precision.matmul != DType::kFp8) return {};
  PassTemplate own = pass, whole = pass;
  if (c.runtime.gathers_fp8) {
    std::erase_if(own.kernels, [](const KernelTemplate& k) { return !k.before_gather; });
    std::erase_if(whole.kernels, [](const KernelTemplate& k) { return k.before_gather; });
  } else {
    own.kernels.clear();
  }
  TrafficBase part = traffic_base(g, op);
  for (const Op& other : g.ops) {
    if (other.kind == OpKind::kGather && other.outputs[0] == op.inputs[0])
      part.inputs[0] = g.tensor(other.inputs[0]).bytes();
    if (other.kind == OpKind::kScatter && other.inputs[0] == op.outputs[0])
      part.output = g.tensor(other.outputs[0]).bytes();
  }
  std::vector<Kernel> out = template_kernels(c, own, part);
  append(out, template_kernels(c, whole, traffic_base(g, op)));
  return out;
}

std::vector<Kernel> attention_kernels(const KernelContext& c, const OpGraph& g, const Op& op,
                                      AttentionDirection direction) {
  const bool forward = direction == AttentionDirection::kForward;
  std::vector<Kernel> out;
  for (const AttentionWork& w : attention_works(c, g, op, direction)) {
    const FusedAttention* fused =
        c.runtime.fused_attention(w.dtype, w.heads != w.kv_heads, w.head_size);
    const std::uint32_t name = c.names.intern((fused ? fused->name : std::string("attention")) +
                                              (forward ? "_fprop" : "_bprop"));
    if (op.ring > 1 && !out.empty())
      append(out,
             template_kernels(c, forward ? c.runtime.ring_hop.forward : c.runtime.ring_hop.backward,
                              traffic_base(g, op)));
    out.push_back({w, name});
  }
  return out;
}

}  // namespace

std::vector<Kernel> forward_kernels(const KernelContext& c, const OpGraph& g, const Op& op) {
  // An expert that no token goes to runs nothing.
  if (g.tensor(op.outputs[0]).elements() == 0) return {};
  std::vector<Kernel> out = pass_kernels(c, g, op, true);
  if (is_product(op.kind)) {
    append(out, quantizing_kernels(c, g, op, c.runtime.quantize.forward));
    const LinearShape s = linear_shape(g, op);
    GemmWork w;
    w.groups = s.groups;
    w.batch = s.batch;
    w.m = s.tokens;
    w.n = s.out;
    w.k = s.in;
    w.dtype = c.precision.matmul;
    w.out = g.tensor(op.outputs[0]).dtype;
    w.bias = op.parameters.size() > 1;
    out.push_back({w, c.names.intern("gemm " + op.name)});
  } else if (op.kind == OpKind::kAttention) {
    append(out, attention_kernels(c, g, op, AttentionDirection::kForward));
  } else if (op.kind == OpKind::kScores || op.kind == OpKind::kContext) {
    out.push_back({unfused_product(c, g, op), c.names.intern("bmm " + op.name)});
  }
  return out;
}

std::vector<Kernel> other_gradient_kernels(const KernelContext& c, const OpGraph& g, const Op& op) {
  return pass_kernels(c, g, op, false, true);
}

std::vector<Kernel> input_gradient_kernels(const KernelContext& c, const OpGraph& g, const Op& op,
                                           bool inputs_alone) {
  std::vector<Kernel> out;
  if (op.kind == OpKind::kAttention)
    append(out, attention_kernels(c, g, op, AttentionDirection::kBackward));
  append(out,
         pass_kernels(c, g, op, false, inputs_alone ? std::optional<bool>(false) : std::nullopt));
  if (is_product(op.kind)) {
    append(out, quantizing_kernels(c, g, op, c.runtime.quantize.backward));
    const LinearShape s = linear_shape(g, op);
    GemmWork w;
    w.groups = s.groups;
    w.batch = s.batch;
    w.m = s.tokens;
    w.n = s.in;
    w.k = s.out;
    w.dtype = c.precision.matmul;
    w.out = g.tensor(op.inputs[0]).dtype;
    w.layout = GemmLayout::kDgrad;
    out.push_back({w, c.names.intern("gemm " + op.name + " dgrad")});
  } else if (op.kind == OpKind::kScores || op.kind == OpKind::kContext) {
    const GemmWork f = unfused_product(c, g, op);
    GemmWork first = f, second = f;  // dA = dC B^T, dB = A^T dC
    first.n = f.k;
    first.k = f.n;
    first.layout = GemmLayout::kDgrad;
    second.m = f.k;
    second.k = f.m;
    second.layout = GemmLayout::kWgrad;
    out.push_back({first, c.names.intern("bmm " + op.name + " dgrad")});
    out.push_back({second, c.names.intern("bmm " + op.name + " dgrad")});
  }
  return out;
}

std::vector<Kernel> weight_gradient_kernels(const KernelContext& c, const OpGraph& g, const Op& op,
                                            bool accumulate) {
  std::vector<Kernel> out =
      template_kernels(c, c.runtime.of(op.kind).backward, traffic_base(g, op));
  const LinearShape s = linear_shape(g, op);
  GemmWork w;
  w.groups = s.groups;
  w.batch = s.batch;
  w.m = s.out;
  w.n = s.in;
  w.k = s.tokens;
  w.dtype = c.precision.matmul;
  w.out = c.runtime.fused_gradient_accumulation ? c.precision.gradients : c.precision.compute;
  w.accumulate =
      c.runtime.fused_gradient_accumulation && (accumulate || c.runtime.persistent_gradients);
  w.layout = GemmLayout::kWgrad;
  out.push_back({w, c.names.intern("gemm " + op.name + " wgrad")});
  if (op.parameters.size() > 1)
    append(out, template_kernels(c, c.runtime.bias_gradient, traffic_base(g, op)));
  return out;
}

}  // namespace rehearse
