#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "hardware/power.hpp"
#include "hardware/ratio_table.hpp"
#include "hardware/work.hpp"
#include "sim/config/value.hpp"

namespace rehearse {

enum class Clocks : std::uint8_t { kBurst, kSustained };

// Rates of one class of memory-bound kernels: time = max(bytes / (bandwidth * efficiency),
// elements / elements_per_second, columns * per_column) + rows * per_row + fixed. Where every
// thread block works through all rows, the rows' time is a third bound instead, once for every
// round of blocks. `shapes` tells what was measured over that, by bytes an element, rows, columns.
// `follows_clock` is the part of the time that lower clocks stretch; where it is not known, all of
// what anything but the memory bounds.
struct KernelClassRates {
  static constexpr std::size_t kShapeAxes = 3;

  double bandwidth_efficiency = 1;
  double elements_per_second = 0;  // 0: never binds
  Seconds per_row{0};              // of kernels that handle a row (or a few) at a time
  Seconds per_column{0};  // of kernels whose blocks work through a row each: the least time
  Seconds fixed{0};
  std::optional<double> follows_clock;
  std::shared_ptr<const RatioTable> shapes;  // null: not measured
  std::string source;                        // "measured on ..., transferred from h200-sxm"
};

// How much longer work takes while other work of the same GPU runs beside it. 1: not at all.
//
// Model. A collective's kernel holds `multiprocessors` to itself for as long as it runs, one a
// channel. A matrix product of n rounds over all multiprocessors runs as many blocks as there are
// of those, each with its share of the tiles, so it loses `product_rounds` rounds besides to blocks
// that come late; twice its time at most, when those wait for the others to end. What instruction
// issue and what memory bounds slow down by a factor. The collective is slowed by what the kernel
// takes of the memory. While it waits for other ranks it moves nothing and leaves room on its
// multiprocessors: only products miss those. Two kernels of different streams share the GPU.
struct SideBySide {
  std::int64_t multiprocessors = 0;  // 0: collectives slow no kernel
  double product_rounds = 0, issue_slowdown = 1, memory_slowdown = 1;
  double communication_slowdown = 1, communication_slowdown_by_memory = 1;
  double kernel_slowdown = 1;

  bool interferes() const {
    return multiprocessors > 0 || communication_slowdown > 1 ||
           communication_slowdown_by_memory > 1 || kernel_slowdown > 1;
  }
};

// Of a kernel and a collective that run beside each other, and of a kernel beside a collective that
// is waiting for other ranks.
struct Slowdowns {
  double kernel = 1, collective = 1, waiting = 1;
  bool operator==(const Slowdowns&) const = default;
};

// How the power limit stretches work as the load rises: past `from` it takes
// 1 + (rate - from) / per times as long. per = 0: not known.
struct Throttle {
  FlopsPerSecond from{0}, per{0};
  // How many times as long, at an average rate of products and attention.
  double at(FlopsPerSecond rate) const {
    return per.value > 0 && rate > from ? 1 + (rate - from).value / per.value : 1;
  }
};

// The way to the host's memory, one direction; both can be used at once.
struct HostLink {
  BytesPerSecond bandwidth{0};  // 0: not stated
  Seconds latency{0};           // of a copy
};

// What-if factors of a GPU whose parts are faster than its file says.
struct Faster {
  double compute = 1, memory = 1;
};

struct GemmModel;       // measured efficiency of matrix products (hardware/gemm_model.hpp)
struct AttentionModel;  // the same for attention (hardware/attention_model.hpp)

// A GPU as its file says: datasheet figures (dense, unidirectional) and measured efficiency.
struct Gpu {
  std::string name;
  std::string architecture;  // "hopper", ...
  std::int64_t sm_count = 0;
  std::int64_t threads_per_sm = 2048;
  double boost_clock_hz = 0;
  std::map<DType, FlopsPerSecond> peak;  // dense tensor-core peaks; kFp32 is the vector peak
  Bytes memory{0};                       // datasheet capacity
  Bytes usable_memory{0};                // what cudaMemGetInfo calls total
  Bytes context_memory{0};               // CUDA context, taken before the first tensor
  BytesPerSecond memory_bandwidth{0};
  Bytes l2{0};
  HostLink host_link;
  // Sustained over burst rate under the power limit: of matrix products, which even in a burst draw
  // too much for the highest clock, and of all else that follows the clock.
  double sustained_products = 1, sustained_clock = 1;
  // Where it was measured how they follow the load of a step.
  Throttle throttle_products, throttle_clock;
  // GPUs of one kind differ in what the limit costs them: the standard deviation of that over its
  // mean. Ranks that wait for each other go at the pace of the slowest.
  double throttle_spread = 0;
  // The part of a collective's time that lower clocks stretch.
  double collectives_follow_clock = 0;
  // Idle time of a stream between two kernels that were issued in time.
  Seconds kernel_gap{0};
  // The same between two kernels of one CUDA graph.
  Seconds graph_kernel_gap{0};
  SideBySide beside;
  std::map<std::string, KernelClassRates> kernels;
  std::shared_ptr<const GemmModel> gemm;            // null: efficiency 1
  std::shared_ptr<const AttentionModel> attention;  // null: efficiency 1
  PowerModel power;
  bool ideal = false;
  Faster faster;

  FlopsPerSecond peak_of(DType t) const;
};

Gpu read_gpu(const Value& tree);
// Efficiency 1, no fixed cost.
Gpu idealised(const Gpu& gpu);

enum class Bound : std::uint8_t { kCompute, kMemory, kIssue, kFixed };

struct KernelPrice {
  Seconds time;
  Flops flops;
  Bytes bytes;
  Bound bound;
  double efficiency = 1;  // of the bound's peak
  std::string
      source;  // where the efficiency was measured: "silicon/h200_sxm", "transferred from ..."
};

Seconds kernel_time(const Gpu& gpu, const KernelWork& work, Clocks clocks);
Slowdowns beside_collective(const Gpu& gpu, const KernelWork& work, Clocks clocks);
KernelPrice price_kernel(const Gpu& gpu, const KernelWork& work, Clocks clocks);

}  // namespace rehearse
