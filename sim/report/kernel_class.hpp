#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "sim/base/quantity.hpp"
#include "sim/engine/annotations.hpp"
#include "sim/engine/replay.hpp"

namespace rehearse {

// What a kernel does, told by its name: the classes in which a simulated step and a profiled one
// are compared. A collective's class is NCCL's kernel, so all-to-all is among sends and receives.
enum class KernelClass : std::uint8_t {
  kMatrixProduct,
  kAttention,
  kElementwise,
  kReduction,  // with norms, softmax and the loss
  kOptimizer,
  kCopy,  // with casts, concatenations and fills
  kOther,
  kAllReduce,
  kAllGather,
  kReduceScatter,
  kBroadcast,
  kSendRecv
};
inline constexpr std::size_t kKernelClasses = 12;
std::string_view to_string(KernelClass c);  // "matrix_product", ..., "send_recv"
bool is_collective(KernelClass c);

// Of a kernel as PyTorch's profiler names it (whole, or cut off) or as the simulator does.
KernelClass classify_kernel(std::string_view name);

struct KernelTotals {
  std::array<Seconds, kKernelClasses> time{};
  std::array<std::int64_t, kKernelClasses> count{};

  void add(KernelClass c, Seconds t, std::int64_t n = 1) {
    time[static_cast<std::size_t>(c)] += t;
    count[static_cast<std::size_t>(c)] += n;
  }
};

// Kernels of the last simulated step, by device, as long as each was at work. For a graph
// whose tasks are single kernels. Receiving a message is a kernel as long as the transfer.
std::vector<KernelTotals> kernel_totals(const TaskGraph& graph, const Timeline& timeline,
                                        const Annotations& notes);

}  // namespace rehearse
