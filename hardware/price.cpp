#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "hardware/attention_model.hpp"
#include "hardware/gemm_model.hpp"
#include "hardware/gpu.hpp"

namespace rehearse {

namespace {

// What follows the clock slows down as the power limit lowers it; the memory does not.
Seconds at_clocks(const Gpu& gpu, const KernelWork& work, const KernelEstimate& e, Clocks clocks) {
  const bool product = std::holds_alternative<GemmWork>(work);
  const double clock = product ? gpu.sustained_products : gpu.sustained_clock;
  const double sustained = clocks == Clocks::kBurst || clock >= 1 ? 1 : clock;
  return e.fixed + max(e.compute / (sustained * gpu.faster.compute), e.memory / gpu.faster.memory);
}

const KernelClassRates& rates_of(const Gpu& gpu, const MemoryWork& work) {
  const auto found = gpu.kernels.find(work.kernel_class);
  if (found == gpu.kernels.end()) {
    throw std::logic_error("gpu '" + gpu.name + "' has no kernel class '" + work.kernel_class +
                           "'");
  }
  return found->second;
}

KernelEstimate estimate(const Gpu& gpu, const MemoryWork& work) {
  KernelEstimate e;
  const KernelClassRates* rates = gpu.ideal ? nullptr : &rates_of(gpu, work);
  const double efficiency = rates == nullptr ? 1 : rates->bandwidth_efficiency;
  e.memory = (work.read + work.written) / BytesPerSecond(gpu.memory_bandwidth.value * efficiency);
  if (rates != nullptr) {
    const auto rows = static_cast<double>(work.rows);
    e.fixed = rates->fixed;
    if (rates->elements_per_second > 0) {
      e.compute = Seconds(static_cast<double>(work.elements) / rates->elements_per_second);
    }
    if (work.rows > 0) {
      const auto columns = static_cast<double>(work.elements / work.rows);
      e.compute = max(e.compute, rates->per_column * columns);
    }
    if (work.blocks > 0) {  // each goes through all rows, one after the other
      const std::int64_t rounds = (work.blocks + gpu.sm_count - 1) / gpu.sm_count;
      e.compute = max(e.compute, rates->per_row * (rows * static_cast<double>(rounds)));
    } else {
      e.fixed = e.fixed + rates->per_row * rows;
    }
  }
  return e;
}

struct Estimate {
  const Gpu& gpu;
  Clocks clocks;
  KernelEstimate operator()(const GemmWork& w) const { return estimate_gemm(gpu, w, clocks); }
  KernelEstimate operator()(const AttentionWork& w) const {
    return estimate_attention(gpu, w, clocks);
  }
  KernelEstimate operator()(const MemoryWork& w) const { return estimate(gpu, w); }
};

struct SourceOf {
  const Gpu& gpu;
  Clocks clocks;
  std::string operator()(const GemmWork& w) const { return gemm_source(gpu, w, clocks); }
  std::string operator()(const AttentionWork& w) const { return attention_source(gpu, w, clocks); }
  std::string operator()(const MemoryWork& w) const { return rates_of(gpu, w).source; }
};

DType matmul_dtype(const KernelWork& work) {
  if (const auto* gemm = std::get_if<GemmWork>(&work)) return gemm->dtype;
  if (const auto* attention = std::get_if<AttentionWork>(&work)) return attention->dtype;
  return DType::kFp32;
}

Bound bound_of(const KernelEstimate& e, Seconds time, bool memory_class) {
  if (e.fixed.value * 2 > time.value) return Bound::kFixed;
  if (e.memory >= e.compute) return Bound::kMemory;
  return memory_class ? Bound::kIssue : Bound::kCompute;
}

}  // namespace

Seconds kernel_time(const Gpu& gpu, const KernelWork& work, Clocks clocks) {
  return at_clocks(gpu, work, std::visit(Estimate{gpu, clocks}, work), clocks);
}

Slowdowns beside_collective(const Gpu& gpu, const KernelWork& work, Clocks clocks) {
  const SideBySide& beside = gpu.beside;
  if (beside.multiprocessors == 0) return {};
  const double left = 1 - static_cast<double>(beside.multiprocessors) /
                              static_cast<double>(std::max<std::int64_t>(gpu.sm_count, 1));
  if (const auto* gemm = std::get_if<GemmWork>(&work)) {
    const double tiles = static_cast<double>(gemm->m) * static_cast<double>(gemm->n) *
                         static_cast<double>(gemm->batch) / (128 * 256);
    const double rounds = std::max(1.0, std::ceil(tiles / static_cast<double>(gpu.sm_count)));
    return {std::min(2.0, (1 + beside.product_rounds / rounds) / left),
            beside.communication_slowdown};
  }
  if (std::holds_alternative<AttentionWork>(work)) return {1 / left, beside.communication_slowdown};
  const KernelEstimate e = std::visit(Estimate{gpu, clocks}, work);
  if (e.compute > e.memory) return {beside.issue_slowdown, beside.communication_slowdown};
  return {beside.memory_slowdown, beside.communication_slowdown_by_memory};
}

KernelPrice price_kernel(const Gpu& gpu, const KernelWork& work, Clocks clocks) {
  const KernelEstimate e = std::visit(Estimate{gpu, clocks}, work);
  KernelPrice price;
  price.time = at_clocks(gpu, work, e, clocks);
  price.flops = flops(work);
  price.bytes = bytes(work);
  price.bound = bound_of(e, price.time, std::holds_alternative<MemoryWork>(work));
  // Of the peak that the bound names; issue and fixed costs are told against the bandwidth.
  const Seconds floor = price.bound == Bound::kCompute
                            ? price.flops / gpu.peak_of(matmul_dtype(work))
                            : price.bytes / gpu.memory_bandwidth;
  price.efficiency = price.time.value > 0 ? ratio(floor, price.time) : 1;
  price.source = gpu.ideal ? "ideal" : std::visit(SourceOf{gpu, clocks}, work);
  return price;
}

}  // namespace rehearse
