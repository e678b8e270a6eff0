#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "hardware/work.hpp"
#include "sim/config/value.hpp"

namespace rehearse {

enum class Clocks : std::uint8_t { kBurst, kSustained };

// Rates of one class of memory-bound kernels: time = max(bytes / (bandwidth * efficiency),
// elements / elements_per_second) + rows * per_row + fixed.
struct KernelClassRates {
  double bandwidth_efficiency = 1;
  double elements_per_second = 0;  // 0: never binds
  Seconds per_row{0};              // of kernels that handle a row (or a few) at a time
  Seconds fixed{0};
  std::string source;  // "measured on ..., transferred from h200-sxm"
};

struct GemmModel;       // measured efficiency of matrix products (hardware/gemm_model.hpp)
struct AttentionModel;  // the same for attention (hardware/attention_model.hpp)

// A GPU as its file says: datasheet figures (dense, unidirectional) and measured efficiency.
struct Gpu {
  std::string name;
  std::string architecture;  // "hopper", ...
  std::int64_t sm_count = 0;
  double boost_clock_hz = 0;
  std::map<DType, FlopsPerSecond> peak;  // dense tensor-core peaks; kFp32 is the vector peak
  Bytes memory{0};                       // datasheet capacity
  Bytes usable_memory{0};                // what cudaMemGetInfo calls total
  Bytes context_memory{0};               // CUDA context, taken before the first tensor
  BytesPerSecond memory_bandwidth{0};
  Bytes l2{0};
  // Sustained over burst rate of matrix-bound kernels under the power limit.
  double sustained_clock = 1;
  // Where it was measured how the clock follows the load: past an average of `throttle_from` the
  // same work takes 1 + (rate - throttle_from) / throttle_per times as long. 0: not known, and
  // sustained_clock holds whatever the load.
  FlopsPerSecond throttle_from{0}, throttle_per{0};
  // Idle time of a stream between two kernels that were issued in time.
  Seconds kernel_gap{0};
  // How much longer kernels take while a collective runs beside them, and the other way round.
  double compute_slowdown = 1, communication_slowdown = 1;
  std::map<std::string, KernelClassRates> kernels;
  std::shared_ptr<const GemmModel> gemm;            // null: efficiency 1
  std::shared_ptr<const AttentionModel> attention;  // null: efficiency 1
  bool ideal = false;

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
KernelPrice price_kernel(const Gpu& gpu, const KernelWork& work, Clocks clocks);

}  // namespace rehearse
