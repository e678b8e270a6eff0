#include "hardware/attention_model.hpp"

#include <fmt/format.h>

#include <array>

#include "hardware/gpu.hpp"
#include "sim/config/catalog.hpp"

namespace rehearse {

namespace {

std::shared_ptr<const AttentionModel> donated(const std::string& name, const Mark& mark) {
  const Gpu donor = read_gpu(resolve("gpus", Value::scalar(name, mark)));
  if (donor.attention == nullptr) return nullptr;
  auto model = std::make_shared<AttentionModel>(*donor.attention);
  model->source = "transferred from " + name + ": " + model->source;
  return model;
}

void read_own_table(Reader& reader, AttentionModel& model) {
  const auto path = reader.required<std::string>("table");
  const Mark& mark = reader.raw("table").mark();
  model.table = std::make_shared<const AttentionTable>(beside_gpu_file(mark, path), mark);
  model.source = reader.optional<std::string>("source", path);
  if (const auto median = reader.maybe<double>("held_out_median_percent")) {
    const auto mean = reader.optional<double>("held_out_mean_percent", 0);
    model.source += fmt::format(" (held-out error: median {:.1f} %, mean {:.1f} %)", *median, mean);
  }
  const std::array notes = {std::string("held_out_kernels")};
  reader.ignore(notes);
}

}  // namespace

std::shared_ptr<const AttentionModel> read_attention_model(Reader& efficiency) {
  if (!efficiency.has("attention")) return nullptr;
  Reader reader = efficiency.child("attention");
  auto model = std::make_shared<AttentionModel>();
  if (const auto name = reader.maybe<std::string>("transfer")) {
    if (const auto other = donated(*name, reader.raw("transfer").mark())) *model = *other;
  } else {
    read_own_table(reader, *model);
  }
  model->backward_efficiency =
      reader.optional<double>("backward_efficiency", model->backward_efficiency);
  if (!(model->backward_efficiency > 0)) {
    reader.error("backward_efficiency", "an efficiency must be positive");
    model->backward_efficiency = 1;
  }
  model->backward_source = reader.optional<std::string>("backward_source", model->backward_source);
  reader.finish();
  return model->table == nullptr ? nullptr : model;
}

KernelEstimate estimate_attention(const Gpu& gpu, const AttentionWork& work) {
  const FlopsPerSecond peak = gpu.peak_of(work.dtype);
  const Seconds compute = flops(work) / peak;
  const Seconds memory = bytes(work) / gpu.memory_bandwidth;
  if (gpu.attention == nullptr) return {compute, memory, Seconds(0)};
  const AttentionInterpolator& measured = gpu.attention->table->get();
  const bool backward = work.direction == AttentionDirection::kBackward;
  const double flop_factor = backward ? 1 / gpu.attention->backward_efficiency : 1;
  const AttentionMachine machine{peak.value, gpu.memory_bandwidth.value};
  const double yardstick =
      attention_yardstick(machine, work, measured.grid().overhead_s, flop_factor);
  return with_shared_efficiency(compute, memory, Seconds(yardstick * measured.ratio(work)));
}

std::string attention_source(const Gpu& gpu, const AttentionWork& work) {
  if (gpu.attention == nullptr) return "datasheet, efficiency 1";
  const AttentionModel& model = *gpu.attention;
  if (work.direction == AttentionDirection::kForward) return model.source;
  return fmt::format("{}; backward at {:.2f} of the forward rate ({})", model.source,
                     model.backward_efficiency, model.backward_source);
}

}  // namespace rehearse
