#pragma once

#include <string>
#include <vector>

#include "sim/base/quantity.hpp"
#include "sim/engine/annotations.hpp"
#include "sim/engine/replay.hpp"

namespace rehearse {

// What a GPU did, kernel by kernel: of a step that PyTorch's profiler recorded, or of a simulated
// one, so that the two can be laid beside each other.
struct GpuKernel {
  std::string name;
  int stream = 0;
  Seconds start{0}, end{0};  // since the first kernel
};

struct GpuTrace {
  int rank = 0;
  std::vector<GpuKernel> kernels;  // by start

  Seconds span() const;  // from the first kernel's start to the last one's end
};

// Reads a Chrome trace of torch.profiler (.json or .json.gz): kernels, copies and fills of its GPU.
// Throws UserError where there are none.
GpuTrace read_profiler_trace(const std::string& path);

// The last simulated step of one device, of a graph whose tasks are single kernels.
GpuTrace simulated_gpu_trace(const TaskGraph& graph, const Timeline& timeline,
                             const Annotations& notes, std::uint32_t device);

// Seconds in which at least one of the kernels runs.
Seconds busy_time(const GpuTrace& trace);
// Seconds in which a collective and another kernel run at once.
Seconds overlapped_time(const GpuTrace& trace);

// Both as one Chrome trace, a process each; both begin at 0.
std::string side_by_side_trace(const GpuTrace& measured, const GpuTrace& simulated);

}  // namespace rehearse
