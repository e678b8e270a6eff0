#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include "hardware/attention_model.hpp"
#include "hardware/gemm_model.hpp"
#include "hardware/gpu.hpp"

namespace rehearse {

namespace {

const KernelClassRates& rates_of(const Gpu& gpu, const MemoryWork& work) {
  const auto found = gpu.kernels.find(work.kernel_class);
  if (found == gpu.kernels.end()) {
    throw std::logic_error("gpu '" + gpu.name + "' has no kernel class '" + work.kernel_class +
                           "'");
  }
  return found->second;
}

// What follows the clock slows down as the power limit lowers it; the memory does not.
Seconds at_clocks(const Gpu& gpu, const KernelWork& work, const KernelEstimate& e, Clocks clocks) {
  const bool product = std::holds_alternative<GemmWork>(work);
  const double clock = product ? gpu.sustained_products : gpu.sustained_clock;
  const double sustained = clocks == Clocks::kBurst || clock >= 1 ? 1 : clock;
  const Seconds compute = e.compute / gpu.faster.compute, memory = e.memory / gpu.faster.memory;
  const auto* other = std::get_if<MemoryWork>(&work);
  if (other == nullptr || gpu.ideal || !rates_of(gpu, *other).follows_clock)
    return e.fixed + max(compute / sustained, memory);
  const double part = *rates_of(gpu, *other).follows_clock;
  return e.fixed + max(compute, memory) * (1 + part * (1 / sustained - 1));
}

// What was measured of such shapes, told as one efficiency of both bounds.
KernelEstimate of_shape(const KernelClassRates& rates, const MemoryWork& work,
                        const KernelEstimate& by_rates) {
  const auto at_least_one = [](std::int64_t n) { return std::max<std::int64_t>(1, n); };
  const std::int64_t elements = at_least_one(work.elements), rows = at_least_one(work.rows);
  const std::array<std::int64_t, KernelClassRates::kShapeAxes> sizes = {
      at_least_one((work.read + work.written).value / elements), rows,
      at_least_one(elements / rows)};
  const double ratio = std::exp2(rates.shapes->get().log2_ratio(sizes));
  return {by_rates.compute * ratio, by_rates.memory * ratio, by_rates.fixed * ratio};
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
      const std::int64_t columns = work.elements / work.rows;
      e.compute = max(e.compute, rates->per_column * static_cast<double>(columns));
    }
    if (work.blocks > 0) {  // each goes through all rows, one after the other
      const std::int64_t rounds = (work.blocks + gpu.sm_count - 1) / gpu.sm_count;
      e.compute = max(e.compute, rates->per_row * (rows * static_cast<double>(rounds)));
    } else {
      e.fixed = e.fixed + rates->per_row * rows;
    }
    if (rates->shapes != nullptr && work.rows > 0) return of_shape(*rates, work, e);
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
    const double product = std::min(2.0, (1 + beside.product_rounds / rounds) / left);
    return {product, beside.communication_slowdown, product};
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
