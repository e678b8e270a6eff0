#include "sim/report/kernel_class.hpp"

#include <map>

#include "sim/report/kernel_time.hpp"

namespace rehearse {
namespace {

struct Pattern {
  std::string_view part;  // of the name
  KernelClass is;
};

// The first row whose text is in the name decides, so what is particular stands before what is
// general: a templated PyTorch kernel is named after its launcher and what it applies.
constexpr Pattern kPatterns[] = {
    // NCCL's kernels, and the simulator's names of collectives and messages.
    {"AllReduce", KernelClass::kAllReduce},
    {"AllGather", KernelClass::kAllGather},
    {"ReduceScatter", KernelClass::kReduceScatter},
    {"ncclDevKernel_Broadcast", KernelClass::kBroadcast},
    {"SendRecv", KernelClass::kSendRecv},
    {"nccl all_reduce", KernelClass::kAllReduce},
    {"nccl all_gather", KernelClass::kAllGather},
    {"nccl reduce_scatter", KernelClass::kReduceScatter},
    {"nccl broadcast", KernelClass::kBroadcast},
    {"nccl all_to_all", KernelClass::kSendRecv},
    {"nccl send", KernelClass::kSendRecv},
    {"nccl receive", KernelClass::kSendRecv},
    // Attention: cuDNN, FlashAttention, cutlass (memory-efficient), with what goes around them.
    {"sdpa", KernelClass::kAttention},
    {"flash", KernelClass::kAttention},
    {"fmha", KernelClass::kAttention},
    {"cudnn::fusion::", KernelClass::kAttention},
    // Optimizers.
    {"FusedOptimizer", KernelClass::kOptimizer},
    {"FusedAdam", KernelClass::kOptimizer},
    {"FusedSgd", KernelClass::kOptimizer},
    {"(SGD)", KernelClass::kOptimizer},
    {"AdamFunctor", KernelClass::kOptimizer},
    // Matrix products of cuBLAS, cuBLASLt and cutlass.
    {"splitKreduce", KernelClass::kMatrixProduct},
    {"nvjet", KernelClass::kMatrixProduct},
    {"gemm", KernelClass::kMatrixProduct},
    {"gemv", KernelClass::kMatrixProduct},
    {"cutlass", KernelClass::kMatrixProduct},
    {"bmm", KernelClass::kMatrixProduct},
    // Copies, casts and fills.
    {"multi_tensor_apply_kernel (c", KernelClass::kCopy},
    {"TensorListMetadata<2>, at::native::(anonymous namespace)::C", KernelClass::kCopy},
    {"chunk_cat", KernelClass::kCopy},
    {"split_with_sizes_copy", KernelClass::kCopy},
    {"CatArrayBatchedCopy", KernelClass::kCopy},
    {"copy_kernel", KernelClass::kCopy},
    {"direct_copy", KernelClass::kCopy},
    {"bfloat16_copy", KernelClass::kCopy},
    {"Fill", KernelClass::kCopy},
    {"fill", KernelClass::kCopy},
    {"Memcpy", KernelClass::kCopy},
    {"Memset", KernelClass::kCopy},
    // Norms, softmax, the loss, sums.
    {"layer_norm", KernelClass::kReduction},
    {"rms_norm", KernelClass::kReduction},
    {"rmsnorm", KernelClass::kReduction},
    {"ln_fwd", KernelClass::kReduction},
    {"ln_bwd", KernelClass::kReduction},
    {"GammaBeta", KernelClass::kReduction},
    {"oftMax", KernelClass::kReduction},
    {"softmax", KernelClass::kReduction},
    {"nll_loss", KernelClass::kReduction},
    {"L2Norm", KernelClass::kReduction},
    {"reduce_kernel", KernelClass::kReduction},
    {"triton_red", KernelClass::kReduction},
    {"triton_per", KernelClass::kReduction},
    // Embeddings, their gradients (sorts included) and indexing.
    {"embedding", KernelClass::kOther},
    {"gather_kernel", KernelClass::kOther},
    {"elementwise_kernel_with_index", KernelClass::kOther},
    {"index", KernelClass::kOther},
    // Everything else that goes over elements.
    {"elementwise", KernelClass::kElementwise},
    {"multi_tensor_apply", KernelClass::kElementwise},
    {"triton_poi", KernelClass::kElementwise},
    {"dropout", KernelClass::kElementwise},
    {"masked_scale", KernelClass::kElementwise},
    {"gelu", KernelClass::kElementwise},
    {"swiglu", KernelClass::kElementwise},
    {"rope", KernelClass::kElementwise},
    {"out_correction", KernelClass::kElementwise},
};

}  // namespace

std::string_view to_string(KernelClass c) {
  constexpr std::string_view kNames[] = {
      "matrix_product", "attention",  "elementwise", "reduction",      "optimizer", "copy",
      "other",          "all_reduce", "all_gather",  "reduce_scatter", "broadcast", "send_recv"};
  static_assert(std::size(kNames) == kKernelClasses);
  return kNames[static_cast<std::size_t>(c)];
}

bool is_collective(KernelClass c) { return c >= KernelClass::kAllReduce; }

KernelClass classify_kernel(std::string_view name) {
  for (const Pattern& p : kPatterns)
    if (name.find(p.part) != std::string_view::npos) return p.is;
  return KernelClass::kOther;
}

std::vector<KernelTotals> kernel_totals(const TaskGraph& graph, const Timeline& timeline,
                                        const Annotations& notes) {
  std::vector<KernelTotals> out(notes.devices.size());
  std::map<std::uint32_t, Seconds> transfers;  // by flow
  for (TaskId t = 0; t < graph.size(); ++t)
    if (notes.tasks[t].activity == Activity::kSend)
      transfers[notes.tasks[t].flow] = timeline.duration(t).seconds();
  for (TaskId t = 0; t < graph.size(); ++t) {
    const TaskInfo& i = notes.tasks[t];
    if (i.step + 1 != notes.steps || i.activity == Activity::kHost || i.activity == Activity::kJoin)
      continue;
    const Seconds time = i.activity == Activity::kReceive
                             ? transfers[i.flow]
                             : time_at_work(graph, timeline, notes, t).seconds();
    out[i.device].add(classify_kernel(notes.names[i.name]), time);
  }
  return out;
}

}  // namespace rehearse
