#include "strategies/runtime.hpp"

#include <algorithm>
#include <array>

#include "sim/base/suggest.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {
namespace {

Traffic read_traffic(Reader r) {
  Traffic t;
  t.input = r.optional<double>("input", 0);
  t.inputs = r.optional<double>("inputs", 0);
  t.output = r.optional<double>("output", 0);
  t.parameters = r.optional<double>("parameters", 0);
  r.finish();
  return t;
}

KernelTemplate read_kernel(const Value& v, Diagnostics& d) {
  Reader r(v, "kernel", d);
  KernelTemplate k;
  k.name = r.required<std::string>("name");
  k.kernel_class = r.required<std::string>("class");
  k.read = read_traffic(r.child("read"));
  k.write = read_traffic(r.child("write"));
  k.columns_per_block = r.count("columns_per_block", 0, 0);
  k.least_tokens = r.count("least_tokens", 0, 0);
  k.least_sequences = r.count("least_sequences", 0, 0);
  k.matrices_by = r.count("matrices_by", 0, 0);
  k.matrices_not_by = r.count("matrices_not_by", 0, 0);
  const std::string each = r.optional<std::string>("each", "");
  if (!each.empty() && each != "input" && each != "output")
    r.error("each", "'" + each + "' is neither 'input' nor 'output'");
  k.each = each == "input"    ? KernelTemplate::Each::kInput
           : each == "output" ? KernelTemplate::Each::kOutput
                              : KernelTemplate::Each::kOnce;
  const std::string of = r.optional<std::string>("of", "");
  if (!of.empty() && of != "parameters") r.error("of", "'" + of + "' is not 'parameters'");
  k.of_parameters = of == "parameters";
  k.before_gather = r.optional<bool>("before_gather", false);
  k.count = static_cast<int>(r.count("count", 1));
  k.synchronizes = r.optional<bool>("synchronizes", false);
  k.host = r.optional<Seconds>("host", Seconds(0));
  r.finish();
  return k;
}

PassTemplate read_pass(Reader r) {
  PassTemplate p;
  p.host = r.optional<Seconds>("host", Seconds(0));
  p.host_unseen = r.optional<Seconds>("host_unseen", Seconds(0));
  const Value& kernels = r.raw("kernels");
  if (kernels.is_list()) {
    for (const Value& k : kernels.as_list()) p.kernels.push_back(read_kernel(k, r.diagnostics()));
  } else if (!kernels.is_null()) {
    r.error("kernels", "expected a list of kernels");
  }
  p.temporary = read_traffic(r.child("temporary"));
  p.sums_rows = r.optional<bool>("sums_rows", false);
  r.finish();
  return p;
}

constexpr std::array kOpKinds{OpKind::kEmbedding,
                              OpKind::kPositionEmbedding,
                              OpKind::kLayerNorm,
                              OpKind::kRmsNorm,
                              OpKind::kLinear,
                              OpKind::kRotary,
                              OpKind::kAttention,
                              OpKind::kScores,
                              OpKind::kSoftmax,
                              OpKind::kContext,
                              OpKind::kScale,
                              OpKind::kReorder,
                              OpKind::kRepeatHeads,
                              OpKind::kSafeSoftmax,
                              OpKind::kDropout,
                              OpKind::kGelu,
                              OpKind::kSwiGlu,
                              OpKind::kAdd,
                              OpKind::kCast,
                              OpKind::kCrossEntropy,
                              OpKind::kGather,
                              OpKind::kScatter,
                              OpKind::kSequenceToHeads,
                              OpKind::kHeadsToSequence,
                              OpKind::kGatherKeys,
                              OpKind::kConcatenate,
                              OpKind::kHeadLinear,
                              OpKind::kRoute,
                              OpKind::kPermute,
                              OpKind::kCounts,
                              OpKind::kDispatch,
                              OpKind::kReturn,
                              OpKind::kGatherTokens,
                              OpKind::kScatterTokens,
                              OpKind::kArrange,
                              OpKind::kGroupedLinear,
                              OpKind::kJoin,
                              OpKind::kCombine,
                              OpKind::kCacheUpdate,
                              OpKind::kArgMax};

void read_fused(Reader& r, Runtime& out) {
  std::vector<std::string> names;
  for (OpKind k : kOpKinds) names.emplace_back(to_string(k));
  for (const std::string& name : r.list<std::string>("fused_operators")) {
    const auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end())
      r.error("fused_operators", "no operator '" + name + "'", suggestion(name, names));
    else
      out.fused_operators.insert(kOpKinds[static_cast<std::size_t>(it - names.begin())]);
  }
}

void read_behaviour(Reader r, Runtime& out) {
  out.fused_gradient_accumulation = r.optional<bool>("fused_gradient_accumulation", false);
  out.persistent_gradients = r.optional<bool>("persistent_gradients", false);
  out.whole_parameter_shards = r.optional<bool>("whole_parameter_shards", false);
  out.reduces_whole_gradients = r.optional<bool>("reduces_whole_gradients", false);
  out.orders_messages = r.optional<bool>("orders_messages", false);
  out.message_slots = static_cast<int>(r.count("message_slots", 0, 0));
  out.message_slot = r.optional<Bytes>("message_slot", Bytes(0));
  out.splits_backward_by_autograd = r.optional<bool>("splits_backward_by_autograd", false);
  out.scales_gradients = r.optional<bool>("scales_gradients", false);
  out.keeps_logits = r.optional<bool>("keeps_logits", false);
  out.frees_sent_outputs = r.optional<bool>("frees_sent_outputs", false);
  out.fused_activation = r.optional<bool>("fused_activation", false);
  out.fused_residual_gradients = r.optional<bool>("fused_residual_gradients", false);
  out.flash_attention = static_cast<int>(r.count("flash_attention", 0, 0));
  out.repeats_heads = r.optional<bool>("repeats_heads", false);
  out.loss_in_place = r.optional<bool>("loss_in_place", false);
  out.fused_loss = r.optional<bool>("fused_loss", false);
  out.regathers_sequence = r.optional<bool>("regathers_sequence", false);
  out.gathers_fp8 = r.optional<bool>("gathers_fp8", false);
  out.overlaps_tensor_communication = r.optional<bool>("overlaps_tensor_communication", false);
  out.vocabulary_multiple = r.count("vocabulary_multiple", 1);
  out.recomputes_whole_block = r.optional<bool>("recomputes_whole_block", false);
  out.reduces_shared_gradients = r.optional<bool>("reduces_shared_gradients", false);
  out.scatters_messages = r.optional<bool>("scatters_messages", false);
  out.scales_buckets = r.optional<bool>("scales_buckets", false);
  out.waits_for_gradient_norm = r.optional<bool>("waits_for_gradient_norm", false);
  out.checks_collectives = r.optional<bool>("checks_collectives", false);
  out.polls_messages = r.optional<bool>("polls_messages", false);
  out.forward_tensors = static_cast<int>(r.count("forward_tensors", 1));
  read_fused(r, out);
  const auto held = r.list<std::string>("held_tensors");
  out.held_tensors.insert(held.begin(), held.end());
  out.makes_shares = r.optional<bool>("makes_shares", false);
  out.allocation_granularity = r.optional<Bytes>("allocation_granularity", Bytes(1));
  out.expandable_segments = r.optional<bool>("expandable_segments", false);
  out.workspace = r.optional<Bytes>("workspace", Bytes(0));
  out.first_bucket = r.optional<Bytes>("first_bucket", Bytes(0));
  out.copies_gradients = r.optional<bool>("copies_gradients", false);
  out.waits_for_batch = r.optional<bool>("waits_for_batch", false);
  out.exchanges_counts = r.optional<bool>("exchanges_counts", false);
  out.groups_experts = r.optional<bool>("groups_experts", false);
  r.finish();
}

void read_host(Reader r, Runtime& out) {
  out.host_per_kernel = r.optional<Seconds>("per_kernel", Seconds(0));
  out.host_per_module = r.optional<Seconds>("per_module", Seconds(0));
  out.host_optimizer = r.optional<Seconds>("optimizer", Seconds(0));
  out.host_optimizer_per_tensor = r.optional<Seconds>("optimizer_per_tensor", Seconds(0));
  out.host_update_bandwidth = r.optional<BytesPerSecond>("update_bandwidth", BytesPerSecond(0));
  out.host_per_collective = r.optional<Seconds>("per_collective", Seconds(0));
  out.host_per_check = r.optional<Seconds>("per_check", Seconds(0));
  out.host_per_checked_rank = r.optional<Seconds>("per_checked_rank", Seconds(0));
  out.loopback_round_trip = r.optional<Seconds>("loopback_round_trip", Seconds(0));
  out.host_per_message = r.optional<Seconds>("per_message", Seconds(0));
  out.host_per_polled_message = r.optional<Seconds>("per_polled_message", Seconds(0));
  out.host_per_unshard = r.optional<Seconds>("per_unshard", Seconds(0));
  out.host_per_reduce = r.optional<Seconds>("per_reduce", Seconds(0));
  out.host_per_checkpoint = r.optional<Seconds>("per_checkpoint", Seconds(0));
  out.host_per_recompute = r.optional<Seconds>("per_recompute", Seconds(0));
  out.host_per_stage_call = r.optional<Seconds>("per_stage_call", Seconds(0));
  out.host_per_batch = r.optional<Seconds>("per_batch", Seconds(0));
  out.host_per_batch_size = r.optional<Seconds>("per_batch_size", Seconds(0));
  out.host_per_split_inputs = r.optional<Seconds>("per_split_inputs", Seconds(0));
  out.host_per_split_weights = r.optional<Seconds>("per_split_weights", Seconds(0));
  out.host_per_split_weights_below = r.optional<Seconds>("per_split_weights_below", Seconds(0));
  r.finish();
}

OperatorTemplate read_operator(Reader op) {
  OperatorTemplate t;
  t.forward = read_pass(op.child("forward"));
  t.backward = read_pass(op.child("backward"));
  op.finish();
  return t;
}

void read_operators(Reader ops, Runtime& out) {
  for (OpKind kind : kOpKinds) {
    const std::string name(to_string(kind));
    out.operators[name] = read_operator(ops.child(name));
  }
  out.ring_hop = read_operator(ops.child("ring_hop"));
  out.mixed_add = read_operator(ops.child("mixed_add"));
  out.quantize = read_operator(ops.child("quantize"));
  ops.finish();
}

FusedAttention read_fused_attention(const Value& v, Diagnostics& d) {
  Reader r(v, "attention", d);
  FusedAttention out;
  out.name = r.required<std::string>("name");
  for (const std::string& name : r.list<std::string>("dtypes")) {
    if (const auto t = dtype_from_string(name))
      out.dtypes.push_back(*t);
    else
      r.error("dtypes", "no type '" + name + "'");
  }
  out.grouped = r.optional<bool>("grouped", true);
  out.batch_first = r.optional<bool>("batch_first", false);
  out.head_size_most = r.count("head_size_most", 0, 0);
  r.finish();
  return out;
}

void read_parameters(Reader p, Runtime& out) {
  out.bias_gradient = read_pass(p.child("bias_gradient"));
  out.accumulate_gradient = read_pass(p.child("accumulate_gradient"));
  out.accumulate_wider = read_pass(p.child("accumulate_wider"));
  out.cast_parameter = read_pass(p.child("cast_parameter"));
  out.cast_gradient = read_pass(p.child("cast_gradient"));
  out.kept_gradient = read_pass(p.child("kept_gradient"));
  out.accumulate_residual = read_pass(p.child("accumulate_residual"));
  out.before_optimizer = read_pass(p.child("before_optimizer"));
  out.after_optimizer = read_pass(p.child("after_optimizer"));
  out.gather_parameters = read_pass(p.child("gather_parameters"));
  p.finish();
}

}  // namespace

const OperatorTemplate& Runtime::of(OpKind kind) const {
  return operators.at(std::string(to_string(kind)));
}

bool FusedAttention::takes(DType dtype, bool in_groups, std::int64_t head_size) const {
  return std::find(dtypes.begin(), dtypes.end(), dtype) != dtypes.end() &&
         (grouped || !in_groups) && (head_size_most == 0 || head_size <= head_size_most);
}

const FusedAttention* Runtime::fused_attention(DType dtype, bool in_groups,
                                               std::int64_t head_size) const {
  for (const FusedAttention& a : attention)
    if (a.takes(dtype, in_groups, head_size)) return &a;
  return nullptr;
}

Bytes Runtime::allocated(Bytes requested) const {
  const std::int64_t g = allocation_granularity.value;
  return Bytes((requested.value + g - 1) / g * g);
}

Runtime read_runtime(const Value& whole) {
  Value tree = whole;
  std::vector<Runtime> inside, inferring;
  const Value* blocks = whole.is_map() ? whole.find("blocks") : nullptr;
  const Value* inference = whole.is_map() ? whole.find("inference") : nullptr;
  if (whole.is_map()) {
    tree.erase("blocks");
    tree.erase("inference");
  }
  if (blocks && blocks->is_map()) inside.push_back(read_runtime(merged(tree, *blocks)));
  // Compiled blocks were not measured without autograd.
  else if (inference && inference->is_map())
    inferring.push_back(read_runtime(merged(tree, *inference)));
  Diagnostics d;
  Reader r(tree, "runtime", d);
  Runtime out;
  out.name = r.required<std::string>("name");
  constexpr std::array<std::string_view, 3> kDocumentation{"summary", "description", "source"};
  std::vector<std::string> ignored(kDocumentation.begin(), kDocumentation.end());
  r.ignore(ignored);
  read_host(r.child("host"), out);
  read_behaviour(r.child("behaviour"), out);
  out.optimizer_class["adamw"] = r.optional<std::string>("adamw_class", "adamw");
  out.optimizer_class["sgd"] = r.optional<std::string>("sgd_class", "adamw");
  if (const Value& fused = r.raw("attention"); fused.is_list())
    for (const Value& v : fused.as_list()) out.attention.push_back(read_fused_attention(v, d));
  read_operators(r.child("operators"), out);
  read_parameters(r.child("parameters"), out);
  r.finish();
  d.throw_if_any();
  out.blocks = std::move(inside);
  out.inference = std::move(inferring);
  return out;
}

Runtime idealised(const Runtime& runtime) {
  Runtime r = runtime;
  for (PassTemplate* p :
       {&r.bias_gradient, &r.accumulate_gradient, &r.accumulate_wider, &r.cast_parameter,
        &r.cast_gradient, &r.kept_gradient, &r.accumulate_residual, &r.mixed_add.forward,
        &r.mixed_add.backward, &r.before_optimizer, &r.after_optimizer, &r.gather_parameters,
        &r.ring_hop.forward, &r.ring_hop.backward})
    p->host = Seconds(0);
  r.quantize = {};
  for (auto& [name, op] : r.operators) op.forward.host = op.backward.host = Seconds(0);
  for (auto& [name, op] : r.operators)
    for (PassTemplate* p : {&op.forward, &op.backward})
      for (KernelTemplate& k : p->kernels) {
        k.synchronizes = false;
        k.host = Seconds(0);
      }
  r.host_per_kernel = r.host_per_module = r.host_optimizer = Seconds(0);
  r.host_optimizer_per_tensor = r.host_per_collective = r.host_per_message = Seconds(0);
  r.host_per_polled_message = r.loopback_round_trip = Seconds(0);
  r.host_per_check = r.host_per_checked_rank = Seconds(0);
  r.host_per_checkpoint = r.host_per_recompute = Seconds(0);
  r.host_per_unshard = r.host_per_reduce = r.host_per_stage_call = Seconds(0);
  r.host_per_batch = r.host_per_batch_size = Seconds(0);
  r.host_per_split_inputs = r.host_per_split_weights = r.host_per_split_weights_below = Seconds(0);
  r.scales_gradients = r.keeps_logits = false;
  r.orders_messages = r.splits_backward_by_autograd = false;
  r.vocabulary_multiple = 1;
  r.waits_for_gradient_norm = r.exchanges_counts = r.waits_for_batch = false;
  for (Runtime& b : r.blocks) b = idealised(b);
  for (Runtime& i : r.inference) i = idealised(i);
  return r;
}

}  // namespace rehearse
