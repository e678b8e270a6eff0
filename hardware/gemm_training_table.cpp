#include "hardware/gemm_training_table.hpp"

#include <fmt/format.h>

#include <cmath>

#include "hardware/estimate.hpp"
#include "hardware/gemm_model.hpp"
#include "hardware/gpu.hpp"

namespace rehearse {

namespace {

constexpr std::array kTypes = {DType::kFp32, DType::kTf32, DType::kBf16, DType::kFp16, DType::kFp8};

GemmTrainingTable read_table(Reader reader, const std::string& source) {
  GemmTrainingTable out;
  const auto path = reader.required<std::string>("table");
  const Mark& mark = reader.raw("table").mark();
  out.table = std::make_shared<const RatioTable>(beside_gpu_file(mark, path), mark,
                                                 GemmTrainingTable::kAxes);
  out.source = source;
  if (const auto median = reader.maybe<double>("held_out_median_percent")) {
    const auto mean = reader.optional<double>("held_out_mean_percent", 0);
    out.source += fmt::format(" (held-out error: median {:.1f} %, mean {:.1f} %)", *median, mean);
  }
  const std::array notes = {std::string("held_out_products")};
  reader.ignore(notes);
  reader.finish();
  return out;
}

std::array<GemmTrainingTable, 3> read_layouts(Reader reader) {
  const std::array names = {std::string("forward"), std::string("dgrad"), std::string("wgrad")};
  const auto source = reader.optional<std::string>("source", "GPU file");
  std::array<GemmTrainingTable, 3> out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (reader.has(names[i])) {
      out[i] = read_table(reader.child(names[i]), source + ", " + names[i]);
    }
  }
  reader.finish();
  return out;
}

GemmTrainingTables donated(const std::string& name, const Mark& mark) {
  const Gpu donor = read_gpu(resolve("gpus", Value::scalar(name, mark)));
  if (donor.gemm == nullptr) return {};
  GemmTrainingTables tables = donor.gemm->training_tables;
  for (auto& [type, layouts] : tables) {
    for (GemmTrainingTable& t : layouts) t.source = "transferred from " + name + ": " + t.source;
  }
  return tables;
}

}  // namespace

double GemmTrainingTable::time_ratio(const GemmWork& work) const {
  if (table == nullptr || work.batch > 1) return 1;
  const std::array<std::int64_t, kAxes> sizes = {work.m, work.n, work.k, work.bias ? 2 : 1};
  return std::exp2(table->get().log2_ratio(sizes));
}

GemmTrainingTables read_gemm_training_tables(Reader reader) {
  GemmTrainingTables tables;
  if (const auto name = reader.maybe<std::string>("transfer")) {
    tables = donated(*name, reader.raw("transfer").mark());
  }
  for (const DType t : kTypes) {
    const std::string key(to_string(t));
    if (reader.has(key)) tables[t] = read_layouts(reader.child(key));
  }
  reader.finish();
  const auto bf16 = tables.find(DType::kBf16);
  if (bf16 != tables.end()) tables.emplace(DType::kFp16, bf16->second);
  return tables;
}

}  // namespace rehearse
