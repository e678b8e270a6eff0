#include "hardware/gpu.hpp"

#include <array>
#include <stdexcept>
#include <string_view>

#include "hardware/attention_model.hpp"
#include "hardware/estimate.hpp"
#include "hardware/gemm_model.hpp"
#include "sim/config/catalog.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {

namespace {

constexpr std::array kPeakTypes = {DType::kFp32, DType::kTf32, DType::kBf16, DType::kFp16,
                                   DType::kFp8};

// The tree of another GPU of the catalog, for what is transferred from it.
Value gpu_tree(const std::string& name, const Mark& mark) {
  return resolve("gpus", Value::scalar(name, mark));
}

std::map<DType, FlopsPerSecond> read_peaks(Reader reader) {
  std::map<DType, FlopsPerSecond> peaks;
  for (const DType t : kPeakTypes) {
    const std::string key(to_string(t));
    if (const auto peak = reader.maybe<FlopsPerSecond>(key)) {
      if (peak->value > 0) {
        peaks[t] = *peak;
      } else {
        reader.error(key, "a peak must be positive");
      }
    }
  }
  if (peaks.empty()) reader.error("bf16", "no peak is given");
  reader.finish();
  return peaks;
}

KernelClassRates read_class(Reader reader, const std::string& table_source) {
  KernelClassRates rates;
  rates.bandwidth_efficiency = reader.optional<double>("bandwidth_efficiency", 1);
  if (!(rates.bandwidth_efficiency > 0)) {
    reader.error("bandwidth_efficiency", "an efficiency must be positive");
    rates.bandwidth_efficiency = 1;
  }
  rates.elements_per_second = reader.optional<double>("elements_per_second", 0);
  if (rates.elements_per_second < 0) {
    reader.error("elements_per_second", "a rate must not be negative (0 never binds)");
  }
  rates.per_row = reader.optional<Seconds>("per_row", Seconds(0));
  rates.per_column = reader.optional<Seconds>("per_column", Seconds(0));
  rates.fixed = reader.optional<Seconds>("fixed", Seconds(0));
  rates.follows_clock = reader.maybe<double>("follows_clock");
  if (rates.follows_clock && !(*rates.follows_clock >= 0 && *rates.follows_clock <= 1)) {
    reader.error("follows_clock", "a part of the time is from 0 to 1");
    rates.follows_clock.reset();
  }
  if (const auto path = reader.maybe<std::string>("shapes")) {
    const Mark& mark = reader.raw("shapes").mark();
    rates.shapes = std::make_shared<const RatioTable>(beside_gpu_file(mark, *path), mark,
                                                      KernelClassRates::kShapeAxes);
  }
  rates.source = reader.optional<std::string>("source", table_source);
  reader.finish();
  return rates;
}

std::map<std::string, KernelClassRates> read_classes(Reader& table) {
  std::map<std::string, KernelClassRates> classes;
  const std::string source = table.optional<std::string>("source", "GPU file");
  if (!table.value().is_map()) return classes;
  for (const auto& [key, entry] : table.value().as_map()) {
    if (key == "source" || key == "transfer") continue;
    classes[key] = read_class(table.child(key), source);
  }
  return classes;
}

// Classes of another GPU: the share of bandwidth and the fixed cost stay, what is limited by
// instruction issue grows with SMs and clock. Own entries override.
std::map<std::string, KernelClassRates> read_kernels(const Gpu& gpu, Reader table) {
  std::map<std::string, KernelClassRates> own = read_classes(table);
  if (const auto donor_name = table.maybe<std::string>("transfer")) {
    const Gpu donor = read_gpu(gpu_tree(*donor_name, table.raw("transfer").mark()));
    const double issue = static_cast<double>(gpu.sm_count) * gpu.boost_clock_hz /
                         (static_cast<double>(donor.sm_count) * donor.boost_clock_hz);
    for (const auto& [name, donor_rates] : donor.kernels) {
      KernelClassRates rates = donor_rates;
      rates.elements_per_second *= issue;
      rates.source = "transferred from " + *donor_name + ": " + donor_rates.source;
      own.emplace(name, std::move(rates));
    }
  }
  table.finish();
  return own;
}

void read_datasheet(Reader& reader, Gpu& gpu) {
  gpu.name = reader.optional<std::string>("name", "gpu");
  gpu.architecture = reader.required<std::string>("architecture");
  gpu.sm_count = reader.required_count("sm_count");
  gpu.threads_per_sm = reader.count("threads_per_sm", gpu.threads_per_sm);
  gpu.boost_clock_hz = reader.required<double>("boost_clock_mhz") * 1e6;
  gpu.memory = reader.required<Bytes>("memory");
  gpu.usable_memory = reader.optional<Bytes>("usable_memory", gpu.memory);
  gpu.context_memory = reader.optional<Bytes>("context_memory", Bytes(0));
  gpu.memory_bandwidth = reader.required<BytesPerSecond>("memory_bandwidth");
  gpu.l2 = reader.optional<Bytes>("l2", Bytes(0));
  const std::array needed = {std::string("peak")};
  if (!reader.has(needed[0])) reader.error("peak", "missing key 'peak'");
  gpu.peak = read_peaks(reader.child("peak"));
}

HostLink read_host_link(Reader reader) {
  HostLink out{reader.optional<BytesPerSecond>("bandwidth", BytesPerSecond(0)),
               reader.optional<Seconds>("latency", Seconds(0))};
  if (out.bandwidth.value < 0) reader.error("bandwidth", "'bandwidth' must not be negative");
  if (out.latency.value < 0) reader.error("latency", "'latency' must not be negative");
  const std::array notes = {std::string("source")};
  reader.ignore(notes);
  reader.finish();
  return out;
}

Throttle read_throttle(Reader reader) {
  const Throttle out{reader.optional<FlopsPerSecond>("from", FlopsPerSecond(0)),
                     reader.optional<FlopsPerSecond>("per", FlopsPerSecond(0))};
  reader.finish();
  return out;
}

// Own values override those of the GPU that the rest is transferred from.
SideBySide read_side_by_side(Reader reader, std::int64_t sm_count) {
  SideBySide out;
  if (const auto donor = reader.maybe<std::string>("transfer"))
    out = read_gpu(gpu_tree(*donor, reader.raw("transfer").mark())).beside;
  out.multiprocessors = reader.optional<std::int64_t>("multiprocessors", out.multiprocessors);
  if (out.multiprocessors < 0 || out.multiprocessors >= std::max<std::int64_t>(sm_count, 1)) {
    reader.error("multiprocessors", "a collective leaves some of the GPU's multiprocessors");
    out.multiprocessors = 0;
  }
  out.product_rounds = reader.optional<double>("product_rounds", out.product_rounds);
  const auto slowdown = [](Reader& in, const char* key, double& value) {
    value = in.optional<double>(key, value);
    if (value >= 1) return;
    in.error(key, "a slowdown must be at least 1");
    value = 1;
  };
  slowdown(reader, "issue_slowdown", out.issue_slowdown);
  slowdown(reader, "memory_slowdown", out.memory_slowdown);
  slowdown(reader, "kernel_slowdown", out.kernel_slowdown);
  Reader communication = reader.child("communication_slowdown");
  slowdown(communication, "kernels", out.communication_slowdown);
  slowdown(communication, "memory", out.communication_slowdown_by_memory);
  communication.finish();
  const std::array source = {std::string("source")};
  reader.ignore(source);
  reader.finish();
  return out;
}

void read_efficiency(Reader reader, Gpu& gpu) {
  gpu.sustained_clock = reader.optional<double>("sustained_clock", 1);
  if (!(gpu.sustained_clock > 0 && gpu.sustained_clock <= 1)) {
    reader.error("sustained_clock", "must be above 0 and at most 1");
    gpu.sustained_clock = 1;
  }
  gpu.sustained_products = gpu.sustained_clock;
  const std::array notes = {std::string("sustained_clock_source")};
  reader.ignore(notes);
  Reader throttle = reader.child("throttle");
  gpu.throttle_products = read_throttle(throttle.child("products"));
  gpu.throttle_clock = read_throttle(throttle.child("others"));
  const auto part = [&](const char* key) {
    const double value = throttle.optional<double>(key, 0);
    if (value >= 0 && value <= 1) return value;
    throttle.error(key, "a part is from 0 to 1");
    return 0.0;
  };
  gpu.throttle_spread = part("spread");
  gpu.collectives_follow_clock = part("collectives");
  const std::array source = {std::string("source")};
  throttle.ignore(source);
  throttle.finish();
  gpu.kernel_gap = reader.optional<Seconds>("kernel_gap", Seconds(0));
  gpu.graph_kernel_gap = reader.optional<Seconds>("graph_kernel_gap", gpu.kernel_gap);
  gpu.beside = read_side_by_side(reader.child("overlap"), gpu.sm_count);
  gpu.gemm = read_gemm_model(reader);
  gpu.attention = read_attention_model(reader);
  reader.finish();
}

}  // namespace

FlopsPerSecond Gpu::peak_of(DType t) const {
  const auto found = peak.find(t);
  if (found != peak.end()) return found->second;
  std::string have;
  for (const auto& [type, rate] : peak) {
    have += (have.empty() ? "" : ", ") + std::string(to_string(type));
  }
  throw UserError(
      Mark{},
      "gpu '" + name + "' has no peak for " + std::string(to_string(t)) + " matrix products",
      "it has " + have);
}

Gpu read_gpu(const Value& tree) {
  Diagnostics diagnostics;
  Gpu gpu;
  Reader reader(tree, "gpu", diagnostics);
  read_datasheet(reader, gpu);
  const std::array notes = {std::string("source")};
  reader.ignore(notes);
  gpu.host_link = read_host_link(reader.child("host_link"));
  read_efficiency(reader.child("efficiency"), gpu);
  gpu.kernels = read_kernels(gpu, reader.child("kernels"));
  gpu.power = read_power(reader);
  reader.finish();
  diagnostics.throw_if_any();
  return gpu;
}

Gpu idealised(const Gpu& gpu) {
  Gpu out = gpu;
  out.ideal = true;
  out.sustained_products = out.sustained_clock = 1;
  out.throttle_products = out.throttle_clock = {};
  out.throttle_spread = out.collectives_follow_clock = 0;
  out.kernel_gap = out.graph_kernel_gap = Seconds(0);
  out.beside = {};
  out.gemm = nullptr;
  out.attention = nullptr;
  for (auto& [name, rates] : out.kernels) {
    rates = {};
    rates.source = "ideal";
  }
  return out;
}

}  // namespace rehearse
