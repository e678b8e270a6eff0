#include "strategies/context/context_parallel.hpp"

namespace rehearse {

// DeepSpeed Ulysses (Jacobs et al. 2023): all-to-alls turn queries, keys and values of a part of
// the sequence and all heads into those of the whole sequence and a part of the heads, and
// attention's result back. Key-value heads that are fewer than the ranks are replicated.
OpGraph ulysses(OpGraph block, int ranks) {
  // Behind the projection, and LoRA's products beside it.
  std::size_t at = find_operator(block, "qkv") + 1;
  for (std::size_t i = at; i < block.ops.size(); ++i)
    for (const char* name : {"qkv", "q", "k", "v"})
      if (block.ops[i].name == std::string(name) + ".lora_add") at = i + 1;
  for (const char* name : {"q", "k", "v"})
    for (std::size_t t = 0; t < block.tensors.size(); ++t)
      if (block.tensors[t].name == name) {
        std::vector<Dim> dims = block.tensors[t].dims;
        scale_axis(dims, Axis::kSequence, ranks, 1);
        scale_axis(dims, Axis::kHeads, 1, ranks);
        scale_axis(dims, Axis::kKvHeads, 1, ranks);
        insert_before(block, at++, OpKind::kSequenceToHeads, static_cast<TensorId>(t),
                      std::move(dims));
        break;
      }
  // Everything up to attention's result has the new shape.
  const std::size_t attention = find_operator(block, "attention");
  for (std::size_t i = at; i <= attention; ++i)
    for (TensorId t : block.ops[i].outputs) {
      std::vector<Dim>& dims = block.tensors[static_cast<std::size_t>(t)].dims;
      scale_axis(dims, Axis::kSequence, ranks, 1);
      scale_axis(dims, Axis::kHeads, 1, ranks);
      scale_axis(dims, Axis::kKvHeads, 1, ranks);
    }
  const TensorId out = block.ops[attention].outputs[0];
  std::vector<Dim> dims = block.tensor(out).dims;
  scale_axis(dims, Axis::kSequence, 1, ranks);
  scale_axis(dims, Axis::kHeads, ranks, 1);
  insert_before(block, attention + 1, OpKind::kHeadsToSequence, out, std::move(dims));
  return block;
}

}  // namespace rehearse
