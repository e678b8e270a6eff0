#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>

#include "hardware/ratio_table.hpp"
#include "hardware/work.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {

// What training's curve (GemmTrainingTime) misses of one layout: measured time over the model's so
// far, on a grid over (m, n, k, 1 without a bias and 2 with one) of the product that runs; 1 far
// from what was measured. A framework's library chooses kernels of its own for each layout, which
// tables of the forward layout cannot know. Batched products were not measured.
struct GemmTrainingTable {
  static constexpr std::size_t kAxes = 4;

  std::shared_ptr<const RatioTable> table;  // null: 1 throughout
  std::string source;

  double time_ratio(const GemmWork& work) const;
};

using GemmTrainingTables = std::map<DType, std::array<GemmTrainingTable, 3>>;  // by GemmLayout

// Reads `training_tables`: a mapping of dtypes, each of layouts, or `transfer: GPU`. fp16 takes
// bf16's.
GemmTrainingTables read_gemm_training_tables(Reader reader);

}  // namespace rehearse
