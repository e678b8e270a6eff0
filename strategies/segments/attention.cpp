#include "strategies/segments/attention.hpp"

#include <algorithm>

namespace rehearse {
namespace {

std::int64_t axis_size(const Tensor& t, Axis axis) {
  for (const Dim& d : t.dims)
    if (d.axis == axis) return d.size;
  return 1;
}

AttentionWork whole(const KernelContext& c, const OpGraph& g, const Op& op,
                    AttentionDirection direction) {
  const Tensor& q = g.tensor(op.inputs[0]);
  const Tensor& k = g.tensor(op.inputs[1]);
  AttentionWork w;
  w.generation = c.runtime.flash_attention;
  w.batch = axis_size(q, Axis::kBatch);
  w.heads = axis_size(q, Axis::kHeads);
  w.kv_heads = axis_size(k, Axis::kKvHeads);
  if (w.kv_heads == 1) w.kv_heads = std::max<std::int64_t>(1, axis_size(k, Axis::kHeads));
  w.length = axis_size(q, Axis::kSequence);
  w.kv_length = std::max(axis_size(k, Axis::kSequence), axis_size(k, Axis::kKeySequence));
  w.head_size = axis_size(q, Axis::kHeadSize);
  w.value_size = axis_size(g.tensor(op.inputs[2]), Axis::kHeadSize);
  if (w.value_size == w.head_size) w.value_size = 0;
  w.values_in_keys = g.tensor(op.inputs[2]).view_of == op.inputs[1];
  w.causal = c.causal;
  w.dropout = op.dropout;
  w.dtype = q.dtype;
  w.direction = direction;
  return w;
}

}  // namespace

std::vector<AttentionWork> attention_works(const KernelContext& c, const OpGraph& g, const Op& op,
                                           AttentionDirection direction) {
  const AttentionWork all = whole(c, g, op, direction);
  if (op.ring > 1) {
    std::vector<AttentionWork> hops(static_cast<std::size_t>(op.ring), all);
    for (std::size_t i = 1; i < hops.size() && all.causal; ++i) {
      hops[i].causal = false;
      (i % 2 == 1 ? hops[i].kv_length : hops[i].length) /= 2;
    }
    return hops;
  }
  if (!all.causal || all.kv_length == all.length) return {all};
  AttentionWork first = all, last = all;
  first.length = last.length = all.length / 2;
  first.kv_length = first.length;  // of rank 0; the sum over both is every rank's
  return {first, last};
}

std::vector<Bytes> ring_messages(const OpGraph& g, const Op& op, AttentionDirection direction) {
  const Bytes block = g.tensor(op.inputs[1]).bytes() + g.tensor(op.inputs[2]).bytes();
  std::vector<Bytes> out(static_cast<std::size_t>(op.ring - 1), block);
  if (direction == AttentionDirection::kForward || out.empty()) return out;
  out.emplace_back(0);
  for (std::size_t i = 1; i < out.size(); ++i) out[i] += block;
  return out;
}

}  // namespace rehearse
