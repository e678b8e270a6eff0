#include "hardware/gemm_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "hardware/gpu.hpp"
#include "hardware/measured_range.hpp"
#include "sim/config/catalog.hpp"

namespace rehearse {

namespace {

constexpr std::array kMatmulTypes = {DType::kFp32, DType::kTf32, DType::kBf16, DType::kFp16,
                                     DType::kFp8};

GemmModel::Entry read_entry(Reader reader) {
  GemmModel::Entry entry;
  const auto path = reader.required<std::string>("table");
  const Mark& mark = reader.raw("table").mark();
  entry.table = std::make_shared<const GemmTable>(beside_gpu_file(mark, path), mark);
  entry.source = reader.optional<std::string>("source", path);
  // Residuals of the fit: percentages for people, told with the source.
  if (const auto median = reader.maybe<double>("held_out_median_percent")) {
    const auto mean = reader.optional<double>("held_out_mean_percent", 0);
    entry.source += fmt::format(" (held-out error: median {:.1f} %, mean {:.1f} %)", *median, mean);
  }
  const std::array notes = {std::string("held_out_products"), std::string("yardstick")};
  reader.ignore(notes);
  reader.finish();
  return entry;
}

void read_layouts(Reader reader, GemmModel& model) {
  auto& time = model.layout_time;
  const std::array names = {std::string("forward"), std::string("dgrad"), std::string("wgrad")};
  for (std::size_t i = 0; i < names.size(); ++i) {
    time[i] = reader.optional<double>(names[i], time[i]);
    if (!(time[i] > 0)) reader.error(names[i], "a factor on time must be positive");
  }
  const std::array notes = {std::string("source")};
  reader.ignore(notes);
  reader.finish();
}

void read_misaligned(Reader reader, GemmModel& model) {
  const std::array<std::string, 3> names{"forward", "dgrad", "wgrad"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!reader.has(names[i])) continue;
    const auto parts = reader.list<double>(names[i]);
    if (parts.size() != 3 ||
        std::any_of(parts.begin(), parts.end(), [](double f) { return !(f > 0 && f <= 1); }))
      reader.error(names[i], "three parts of the peak: rows aligned to 8 bytes, 4, 2");
    else
      std::copy(parts.begin(), parts.end(), model.misaligned_efficiency[i].begin());
  }
  const std::array notes = {std::string("source")};
  reader.ignore(notes);
  reader.finish();
}

void read_type_time(Reader reader, GemmModel& model) {
  for (const DType t : kMatmulTypes) {
    const std::string key(to_string(t));
    if (!reader.has(key)) continue;
    const auto factors = reader.list<double>(key);
    std::array<double, 3>& time = model.type_time[t] = {1, 1, 1};
    if (factors.size() != time.size() ||
        std::any_of(factors.begin(), factors.end(), [](double f) { return !(f > 0); })) {
      reader.error(key, "three positive factors: forward, dgrad, wgrad");
      continue;
    }
    std::copy(factors.begin(), factors.end(), time.begin());
  }
  const std::array notes = {std::string("source")};
  reader.ignore(notes);
  reader.finish();
}

void read_training(Reader reader, GemmModel& model) {
  if (reader.value().is_null()) return;
  GemmTrainingTime time;
  time.microseconds = reader.list<double>("microseconds");
  if (time.microseconds.empty() || time.microseconds.front() <= 0 ||
      !std::is_sorted(time.microseconds.begin(), time.microseconds.end())) {
    reader.error("microseconds", "needs positive times, ascending");
  }
  const std::array names = {std::string("forward"), std::string("dgrad"), std::string("wgrad")};
  for (std::size_t i = 0; i < names.size(); ++i) {
    time.factor[i] = reader.list<double>(names[i]);
    if (time.factor[i].size() != time.microseconds.size()) {
      reader.error(names[i], "needs a factor for each of 'microseconds'");
      time.factor[i].assign(time.microseconds.size(), 1);
    }
  }
  time.source = reader.optional<std::string>("source", "GPU file");
  reader.finish();
  model.training = std::move(time);
}

// Types without a table take that of the nearest type: bf16 for its twin fp16 and, as the shape of
// efficiency alone, for the others.
void fill_types(GemmModel& model) {
  if (model.entries.empty()) return;
  const auto bf16 = model.entries.find(DType::kBf16);
  const GemmModel::Entry donor =
      bf16 != model.entries.end() ? bf16->second : model.entries.begin()->second;
  for (const DType t : kMatmulTypes) {
    GemmModel::Entry entry = donor;
    if (t != DType::kFp16) entry.source = "transferred from bf16: " + donor.source;
    model.entries.emplace(t, std::move(entry));
  }
}

std::shared_ptr<const GemmModel> donated(const std::string& name, const Mark& mark) {
  const Gpu donor = read_gpu(resolve("gpus", Value::scalar(name, mark)));
  if (donor.gemm == nullptr) return nullptr;
  auto model = std::make_shared<GemmModel>(*donor.gemm);
  for (auto& [type, entry] : model->entries) {
    entry.source = "transferred from " + name + ": " + entry.source;
  }
  return model;
}

// How far rows are from starting at multiples of 16 bytes: 0 they do, 1 of 8, 2 of 4, 3 of 2.
std::size_t misalignment(std::int64_t row, Bytes element) {
  const auto missing =
      static_cast<std::uint64_t>(16 / std::gcd(row * element.value, std::int64_t{16}));
  return std::min<std::size_t>(3, static_cast<std::size_t>(std::bit_width(missing) - 1));
}

// The least time that misaligned rows leave. Row lengths in memory: forward reads x[m,k], w[n,k];
// dgrad dy[m,k], w[k,n]; wgrad dy[k,m], x[k,n]. Types that tensor cores multiply alone: fp32's
// kernels load single elements, and fp8's take aligned rows only.
Seconds misaligned_time(const GemmModel& model, const GemmWork& w, Seconds at_peak) {
  if (w.dtype == DType::kFp32 || w.dtype == DType::kFp8) return Seconds(0);
  const std::int64_t left = w.layout == GemmLayout::kWgrad ? w.m : w.k;
  const std::int64_t right = w.layout == GemmLayout::kForward ? w.k : w.n;
  const std::size_t by =
      std::max({misalignment(left, size_of(w.dtype)), misalignment(right, size_of(w.dtype)),
                misalignment(w.n, size_of(w.out))});
  if (by == 0) return Seconds(0);
  const double part = model.misaligned_efficiency[static_cast<std::size_t>(w.layout)][by - 1];
  return part > 0 ? at_peak / part : Seconds(0);
}

double shape_factor(const GemmModel& model, const GemmWork& w) {
  const auto layout = static_cast<std::size_t>(w.layout);
  const auto type = model.type_time.find(w.dtype);
  const double type_time = type == model.type_time.end() ? 1 : type->second[layout];
  return type_time * model.layout_time[layout];
}

// Null where there is none.
const GemmTrainingTable* training_table_of(const GemmModel& model, const GemmWork& w) {
  const auto found = model.training_tables.find(w.dtype);
  if (found == model.training_tables.end() || w.batch > 1) return nullptr;
  const GemmTrainingTable& table = found->second[static_cast<std::size_t>(w.layout)];
  return table.table == nullptr ? nullptr : &table;
}

bool is_training(const GemmTrainingTable* table, const GemmWork& w, Clocks clocks) {
  return clocks == Clocks::kSustained || (table != nullptr && w.layout != GemmLayout::kForward);
}

void read_thin(Reader reader, GemmModel& model) {
  if (const auto name = reader.maybe<std::string>("transfer")) {
    if (const auto other = donated(*name, reader.raw("transfer").mark())) model.thin = other->thin;
    for (auto& [type, table] : model.thin)
      table.source = "transferred from " + *name + ": " + table.source;
  }
  if (reader.has("bf16"))
    model.thin[DType::kBf16] = model.thin[DType::kFp16] =
        read_yardstick_table(reader.child("bf16"), GemmModel::kThinAxes);
  reader.finish();
}

// Null where the product is not thin, or such were not measured.
const YardstickTable* thin_table_of(const GemmModel& model, const GemmWork& w, Clocks clocks) {
  const auto found = model.thin.find(w.dtype);
  const bool inference = clocks == Clocks::kSustained && w.layout == GemmLayout::kForward;
  if (found == model.thin.end() || !inference || w.batch > 1 || w.bias) return nullptr;
  return w.m <= found->second.table->get().grid().axes[0].back() ? &found->second : nullptr;
}

}  // namespace

std::shared_ptr<const GemmModel> read_gemm_model(Reader& efficiency) {
  if (!efficiency.has("gemm")) return nullptr;
  Reader reader = efficiency.child("gemm");
  auto model = std::make_shared<GemmModel>();
  if (const auto name = reader.maybe<std::string>("transfer")) {
    if (const auto other = donated(*name, reader.raw("transfer").mark())) *model = *other;
  }
  for (const DType t : kMatmulTypes) {
    const std::string key(to_string(t));
    if (reader.has(key)) model->entries[t] = read_entry(reader.child(key));
  }
  read_layouts(reader.child("layout_time"), *model);
  read_misaligned(reader.child("misaligned_efficiency"), *model);
  read_type_time(reader.child("type_time"), *model);
  Reader wide = reader.child("wide_output");
  model->wide_output_exposed = wide.optional<double>("exposed", model->wide_output_exposed);
  model->narrow_output_exposed =
      wide.optional<double>("narrow_exposed", model->wide_output_exposed);
  wide.ignore(std::array{std::string("source")});
  wide.finish();
  read_training(reader.child("training_time"), *model);
  if (reader.has("training_tables")) {
    model->training_tables = read_gemm_training_tables(reader.child("training_tables"));
  }
  read_thin(reader.child("thin"), *model);
  reader.finish();
  fill_types(*model);
  return model;
}

double GemmTrainingTime::at(Seconds benchmark, GemmLayout layout) const {
  if (microseconds.empty()) return 1;
  const std::vector<double>& factors = factor[static_cast<std::size_t>(layout)];
  const double us = benchmark.value * 1e6;
  const auto above = std::upper_bound(microseconds.begin(), microseconds.end(), us);
  if (above == microseconds.begin()) return factors.front();
  if (above == microseconds.end()) return factors.back();
  const auto high = static_cast<std::size_t>(above - microseconds.begin());
  const double low_us = microseconds[high - 1];
  const double weight = std::log2(us / low_us) / std::log2(*above / low_us);
  return factors[high - 1] + weight * (factors[high] - factors[high - 1]);
}

namespace {

// The same product with an output as wide as its operands.
GemmWork plain(GemmWork work) {
  work.accumulate = false;
  work.out = work.dtype;
  return work;
}

bool has_wide_output(const GemmModel& model, const GemmWork& w) {
  return model.wide_output_exposed > 0 && size_of(w.dtype).value == 2 &&
         (w.accumulate || size_of(w.out).value > 2);
}

// A grouped product fills the machine as one product over all rows does, each group's rows rounded
// up to whole tiles; of the weights' gradient, as one whose rows are the groups' weights. Each
// group has a cost of its own besides (the GPU file's kernel class `product_group`).
GemmWork ungrouped(const GemmWork& work) {
  constexpr std::int64_t kTileRows = 128;
  GemmWork w = work;
  w.groups = 1;
  if (work.layout == GemmLayout::kWgrad) {
    w.m = work.m * work.groups;
    w.k = std::max<std::int64_t>(1, work.k / work.groups);
  } else {
    const std::int64_t each = (work.m + work.groups - 1) / work.groups;
    w.m = (each + kTileRows - 1) / kTileRows * kTileRows * work.groups;
  }
  return w;
}

}  // namespace

KernelEstimate estimate_gemm(const Gpu& gpu, const GemmWork& work, Clocks clocks) {
  if (gpu.gemm != nullptr && has_wide_output(*gpu.gemm, work)) {
    KernelEstimate e = estimate_gemm(gpu, plain(work), clocks);
    const Bytes further = bytes(KernelWork(work)) - bytes(KernelWork(plain(work)));
    e.fixed += further / gpu.memory_bandwidth *
               (size_of(work.out).value > 2 ? gpu.gemm->wide_output_exposed
                                            : gpu.gemm->narrow_output_exposed);
    return e;
  }
  const FlopsPerSecond peak = gpu.peak_of(work.dtype);
  const Seconds compute = flops(work) / peak;
  const Seconds memory = bytes(work) / gpu.memory_bandwidth;
  if (gpu.gemm == nullptr) return {compute, memory, Seconds(0)};
  if (work.groups > 1) {
    KernelEstimate e = estimate_gemm(gpu, ungrouped(work), clocks);
    e.memory = max(e.memory, memory);
    const auto group = gpu.kernels.find("product_group");
    if (group != gpu.kernels.end())
      e.fixed += group->second.fixed * static_cast<double>(work.groups);
    return e;
  }
  if (const YardstickTable* thin = thin_table_of(*gpu.gemm, work, clocks)) {
    const std::array<std::int64_t, GemmModel::kThinAxes> sizes = {work.m, work.n, work.k};
    return with_shared_efficiency(compute, memory, thin->time(max(compute, memory), sizes));
  }
  const auto entry = gpu.gemm->entries.find(work.dtype);
  if (entry == gpu.gemm->entries.end()) return {compute, memory, Seconds(0)};
  const GemmMachine machine{peak.value, gpu.memory_bandwidth.value, gpu.sm_count};
  const GemmRoofline r = entry->second.table->get()(machine, work);
  Seconds time(r.total() * shape_factor(*gpu.gemm, work));
  const GemmTrainingTable* table = training_table_of(*gpu.gemm, work);
  if (is_training(table, work, clocks)) {
    time = time * (gpu.gemm->training.at(time, work.layout) *
                   (table == nullptr ? 1 : table->time_ratio(work)));
  }
  return with_shared_efficiency(compute, memory,
                                max(time, misaligned_time(*gpu.gemm, work, compute)));
}

double gemm_octaves_outside(const Gpu& gpu, const GemmWork& work, Clocks clocks) {
  if (gpu.gemm == nullptr) return 0;
  if (work.groups > 1) return gemm_octaves_outside(gpu, ungrouped(work), clocks);
  const auto beyond = [&](const auto& m, const auto& n, const auto& k) {
    return octaves_beyond(m, work.m) + octaves_beyond(n, work.n) + octaves_beyond(k, work.k);
  };
  const auto of_ratios = [&](const RatioGrid& grid) {
    return beyond(grid.axes[0], grid.axes[1], grid.axes[2]);
  };
  if (const auto* thin = thin_table_of(*gpu.gemm, work, clocks))
    return of_ratios(thin->table->get().grid());
  const GemmTrainingTable* table = training_table_of(*gpu.gemm, work);
  if (table != nullptr && is_training(table, work, clocks))
    return of_ratios(table->table->get().grid());
  const auto entry = gpu.gemm->entries.find(work.dtype);
  if (entry == gpu.gemm->entries.end()) return 0;
  const GemmGrid& grid = entry->second.table->get().grid();
  return beyond(grid.m, grid.n, grid.k);
}

std::string gemm_source(const Gpu& gpu, const GemmWork& work, Clocks clocks) {
  if (work.groups > 1)
    return gemm_source(gpu, ungrouped(work), clocks) + "; grouped as one product";
  if (gpu.gemm == nullptr) return "datasheet, efficiency 1";
  if (const auto* thin = thin_table_of(*gpu.gemm, work, clocks)) return thin->source;
  const auto entry = gpu.gemm->entries.find(work.dtype);
  if (entry == gpu.gemm->entries.end()) return "datasheet, efficiency 1";
  const GemmTrainingTable* table = training_table_of(*gpu.gemm, work);
  if (!is_training(table, work, clocks)) return entry->second.source;
  const std::string& training = table == nullptr ? gpu.gemm->training.source : table->source;
  return entry->second.source + (training.empty() ? "" : "; in training: " + training);
}

}  // namespace rehearse
