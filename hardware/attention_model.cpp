#include "hardware/attention_model.hpp"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "hardware/gpu.hpp"
#include "hardware/measured_range.hpp"
#include "sim/config/catalog.hpp"

namespace rehearse {

namespace {

std::shared_ptr<const AttentionModel> donated(const std::string& name, const Mark& mark) {
  return read_gpu(resolve("gpus", Value::scalar(name, mark))).attention;
}

void mark_transferred(AttentionEntry& entry, const std::string& from) {
  entry.source = "transferred from " + from + ": " + entry.source;
}

AttentionEntry read_entry(Reader& reader) {
  AttentionEntry entry;
  const auto path = reader.required<std::string>("table");
  const Mark& mark = reader.raw("table").mark();
  entry.table = std::make_shared<const AttentionTable>(beside_gpu_file(mark, path), mark);
  entry.source = reader.optional<std::string>("source", path);
  if (const auto median = reader.maybe<double>("held_out_median_percent")) {
    const auto mean = reader.optional<double>("held_out_mean_percent", 0);
    entry.source += fmt::format(" (held-out error: median {:.1f} %, mean {:.1f} %)", *median, mean);
  }
  const std::array notes = {std::string("held_out_kernels")};
  reader.ignore(notes);
  return entry;
}

void read_directions(Reader& reader, TrainingAttention& training) {
  const auto read = [&](const std::string& key, AttentionEntry& entry) {
    if (!reader.has(key)) return;
    Reader child = reader.child(key);
    entry = read_entry(child);
    child.finish();
  };
  read("forward", training.forward);
  read("backward", training.backward);
}

std::vector<AttentionEntry*> training_entries(AttentionModel& model) {
  return {&model.training.forward, &model.training.backward, &model.training_fp32.forward,
          &model.training_fp32.backward};
}

void read_training(Reader reader, AttentionModel& model) {
  if (const auto name = reader.maybe<std::string>("transfer")) {
    if (const auto other = donated(*name, reader.raw("transfer").mark())) {
      model.training = other->training;
      model.training_fp32 = other->training_fp32;
      for (AttentionEntry* entry : training_entries(model)) mark_transferred(*entry, *name);
    }
  }
  read_directions(reader, model.training);
  if (reader.has("fp32")) {
    Reader fp32 = reader.child("fp32");
    read_directions(fp32, model.training_fp32);
    fp32.finish();
  }
  reader.finish();
}

void read_decode(Reader reader, AttentionModel& model) {
  if (reader.value().is_null()) return;
  if (const auto name = reader.maybe<std::string>("transfer")) {
    if (const auto other = donated(*name, reader.raw("transfer").mark())) {
      model.decode = other->decode;
      model.decode.source = "transferred from " + *name + ": " + model.decode.source;
    }
    reader.finish();
    return;
  }
  model.decode = read_yardstick_table(std::move(reader), AttentionModel::kDecodeAxes);
}

bool is_decode(const AttentionModel& model, const AttentionWork& w) {
  return w.length == 1 && w.kv_length > 1 && model.decode.known() &&
         w.direction == AttentionDirection::kForward && size_of(w.dtype).value == 2;
}

// What prices this work, and whether its FLOPs are to be stretched for the backward pass.
struct Choice {
  const AttentionEntry* entry;
  bool stretched;
};

Choice choose(const AttentionModel& model, const AttentionWork& work, Clocks clocks) {
  const bool wide = size_of(work.dtype).value > 2 && model.training_fp32.forward.table &&
                    model.training_fp32.backward.table;
  const TrainingAttention& trained = wide ? model.training_fp32 : model.training;
  if (work.direction == AttentionDirection::kBackward) {
    if (trained.backward.table) return {&trained.backward, false};
    return {&model.forward, true};
  }
  const bool training = (clocks == Clocks::kSustained || wide) && trained.forward.table;
  return {training ? &trained.forward : &model.forward, false};
}

void read_dropout(Reader reader, AttentionModel& model) {
  for (const auto& [key, ratio] : {std::pair{"forward", &model.dropout.forward},
                                   std::pair{"backward", &model.dropout.backward}}) {
    *ratio = reader.optional<double>(key, *ratio);
    if (!(*ratio > 0)) reader.error(key, "a ratio of times must be positive");
  }
  reader.optional<std::string>("source", "");
  reader.finish();
}

void read_first_generation(Reader reader, AttentionModel& model) {
  model.first_forward = reader.optional<FlopsPerSecond>("forward", model.first_forward);
  model.first_backward = reader.optional<FlopsPerSecond>("backward", model.first_backward);
  model.first_source = reader.optional<std::string>("source", model.first_source);
  reader.finish();
}

// Measured on this GPU, both directions; on another, whose times hold here too where it is of the
// same processor (`transfer`: these kernels are far from what memory bounds) or are divided by a
// ratio of rates.
void read_second_generation(Reader reader, AttentionModel& model) {
  if (reader.value().is_null()) return;
  AttentionModel::Older& second = model.second;
  if (const auto name = reader.maybe<std::string>("transfer")) {
    const Gpu other =
        read_gpu(resolve("gpus", Value::scalar(*name, reader.raw("transfer").mark())));
    if (other.attention) {
      second = other.attention->second;
      second.source = "transferred from " + *name + ": " + second.source;
      if (!(second.peak > 0)) {
        second.peak = other.peak_of(DType::kBf16).value;
        second.bandwidth = other.memory_bandwidth.value;
      }
    }
    reader.finish();
    return;
  }
  auto measured = std::make_shared<AttentionModel>();
  if (reader.has("forward")) {
    read_directions(reader, measured->training);
    measured->forward = measured->training.forward;
  } else {
    measured->forward = read_entry(reader);
    measured->backward_efficiency = reader.required<double>("backward_efficiency");
    second.peak = reader.required<FlopsPerSecond>("peak").value;
    second.bandwidth = reader.required<BytesPerSecond>("memory_bandwidth").value;
    second.faster = reader.required<double>("faster");
    if (!(second.faster > 0)) reader.error("faster", "a ratio of rates must be positive");
  }
  read_dropout(reader.child("dropout"), *measured);
  second.source = measured->forward.source;
  second.model = std::move(measured);
  reader.finish();
}

bool is_second(const AttentionModel& model, const AttentionWork& work) {
  return work.generation == 2 && model.second.model && size_of(work.dtype).value == 2;
}

// Zero where the work is not of the first generation, or its rate is not known.
FlopsPerSecond first_rate(const AttentionModel& model, const AttentionWork& work) {
  if (work.generation != 1) return FlopsPerSecond(0);
  return work.direction == AttentionDirection::kBackward ? model.first_backward
                                                         : model.first_forward;
}

}  // namespace

std::shared_ptr<const AttentionModel> read_attention_model(Reader& efficiency) {
  if (!efficiency.has("attention")) return nullptr;
  Reader reader = efficiency.child("attention");
  auto model = std::make_shared<AttentionModel>();
  if (const auto name = reader.maybe<std::string>("transfer")) {
    if (const auto other = donated(*name, reader.raw("transfer").mark())) *model = *other;
    mark_transferred(model->forward, *name);
    for (AttentionEntry* entry : training_entries(*model)) mark_transferred(*entry, *name);
  } else {
    model->forward = read_entry(reader);
  }
  read_training(reader.child("training"), *model);
  read_decode(reader.child("decode"), *model);
  read_first_generation(reader.child("first_generation"), *model);
  read_second_generation(reader.child("second_generation"), *model);
  read_dropout(reader.child("dropout"), *model);
  model->backward_efficiency =
      reader.optional<double>("backward_efficiency", model->backward_efficiency);
  if (!(model->backward_efficiency > 0)) {
    reader.error("backward_efficiency", "an efficiency must be positive");
    model->backward_efficiency = 1;
  }
  model->throttles_as = reader.optional<double>("throttles_as", model->throttles_as);
  if (!(model->throttles_as > 0)) {
    reader.error("throttles_as", "a part of a product's power must be positive");
    model->throttles_as = 1;
  }
  model->backward_source = reader.optional<std::string>("backward_source", model->backward_source);
  reader.finish();
  return model->forward.table == nullptr ? nullptr : model;
}

namespace {

// By the model's tables, measured on `machine`.
Seconds table_time(const AttentionModel& model, const AttentionMachine& machine,
                   const AttentionWork& work, Clocks clocks) {
  const Choice choice = choose(model, work, clocks);
  const AttentionInterpolator& measured = choice.entry->table->get();
  const double flop_factor = choice.stretched ? 1 / model.backward_efficiency : 1;
  const double yardstick =
      attention_yardstick(machine, work, measured.grid().overhead_s, flop_factor);
  const bool backward = work.direction == AttentionDirection::kBackward;
  const double slower = backward ? model.dropout.backward : model.dropout.forward;
  return Seconds(yardstick * measured.ratio(work) * (work.dropout ? slower : 1));
}

}  // namespace

KernelEstimate estimate_attention(const Gpu& gpu, const AttentionWork& work, Clocks clocks) {
  const FlopsPerSecond peak = gpu.peak_of(work.dtype);
  const Seconds compute = flops(work) / peak;
  const Seconds memory = bytes(work) / gpu.memory_bandwidth;
  if (gpu.attention == nullptr) return {compute, memory, Seconds(0)};
  if (const FlopsPerSecond rate = first_rate(*gpu.attention, work); rate.value > 0)
    return {max(flops(work) / rate, memory), memory, Seconds(0)};
  if (is_decode(*gpu.attention, work)) {
    const std::array<std::int64_t, AttentionModel::kDecodeAxes> sizes = {
        work.batch * work.kv_heads, work.heads / work.kv_heads, work.kv_length, work.head_size};
    const Seconds time = gpu.attention->decode.time(max(compute, memory), sizes);
    return with_shared_efficiency(compute, memory, time);
  }
  if (is_second(*gpu.attention, work)) {
    const AttentionModel::Older& older = gpu.attention->second;
    const AttentionMachine measured{older.peak > 0 ? older.peak : peak.value,
                                    older.peak > 0 ? older.bandwidth : gpu.memory_bandwidth.value};
    const Seconds there = table_time(*older.model, measured, work, Clocks::kBurst);
    return with_shared_efficiency(compute, memory, there * (1 / older.faster));
  }
  const AttentionMachine machine{peak.value, gpu.memory_bandwidth.value};
  return with_shared_efficiency(compute, memory, table_time(*gpu.attention, machine, work, clocks));
}

double attention_octaves_outside(const Gpu& gpu, const AttentionWork& work, Clocks clocks) {
  if (gpu.attention == nullptr || first_rate(*gpu.attention, work).value > 0) return 0;
  if (is_decode(*gpu.attention, work)) {
    const auto& axes = gpu.attention->decode.table->get().grid().axes;
    return octaves_beyond(axes[0], work.batch * work.kv_heads) +
           octaves_beyond(axes[2], work.kv_length) + octaves_beyond(axes[3], work.head_size);
  }
  const AttentionGrid& grid = choose(*gpu.attention, work, clocks).entry->table->get().grid();
  // Batch and heads fill the machine together.
  const auto& batches = grid.axes[AttentionGrid::kBatch];
  const auto& heads = grid.axes[AttentionGrid::kHeads];
  return octaves_beyond({batches.front() * heads.front(), batches.back() * heads.back()},
                        work.batch * work.heads) +
         octaves_beyond(grid.axes[AttentionGrid::kLength], work.length) +
         octaves_beyond(grid.axes[AttentionGrid::kHeadSize], work.head_size);
}

std::string attention_source(const Gpu& gpu, const AttentionWork& work, Clocks clocks) {
  if (gpu.attention == nullptr) return "datasheet, efficiency 1";
  if (first_rate(*gpu.attention, work).value > 0) return gpu.attention->first_source;
  if (is_decode(*gpu.attention, work)) return gpu.attention->decode.source;
  if (is_second(*gpu.attention, work)) return gpu.attention->second.source;
  const Choice choice = choose(*gpu.attention, work, clocks);
  if (!choice.stretched) return choice.entry->source;
  return fmt::format("{}; backward at {:.2f} of the forward rate ({})", choice.entry->source,
                     gpu.attention->backward_efficiency, gpu.attention->backward_source);
}

}  // namespace rehearse
