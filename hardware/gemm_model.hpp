#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hardware/estimate.hpp"
#include "hardware/gemm_table.hpp"
#include "hardware/gemm_training_table.hpp"
#include "hardware/work.hpp"
#include "hardware/yardstick_table.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {

struct Gpu;
enum class Clocks : std::uint8_t;

// A product in training over the same one in a benchmark's loop, by how long it takes there:
// operands come from memory rather than L2, and long loops ran at the power limit, which a training
// step meets as a whole (Gpu::throttle_products). Piecewise linear over the logarithm of time,
// constant beyond.
struct GemmTrainingTime {
  std::vector<double> microseconds;           // knots, ascending; empty: 1 throughout
  std::array<std::vector<double>, 3> factor;  // by GemmLayout, at the knots
  std::string source;

  double at(Seconds benchmark, GemmLayout layout) const;
};

// Efficiency of matrix products by shape, as measured: one table a dtype, relative to a yardstick
// that knows peak, bandwidth and SMs, so that it can be carried to another GPU or dtype; what is
// carried says so in its source. Tables are of the forward layout, with 16-byte aligned rows; other
// layouts multiply the time, and misaligned rows limit the rate.
struct GemmModel {
  struct Entry {
    std::shared_ptr<const GemmTable> table;
    std::string source;
  };
  // Every type of matrix product, filled from the nearest one that is measured.
  std::map<DType, Entry> entries;
  std::array<double, 3> layout_time{1, 1, 1};  // by GemmLayout
  // Rows that do not start at multiples of 16 bytes, of an input or of the output, can not be moved
  // in whole vectors: other kernels run, whose rate hardly depends on the shape. Parts of the
  // type's peak, by GemmLayout, for rows aligned to 8, 4 and 2 bytes; 0: no limit.
  std::array<std::array<double, 3>, 3> misaligned_efficiency{};
  // Of types that share another's table, by GemmLayout: time over what the table says at their
  // peak.
  std::map<DType, std::array<double, 3>> type_time;
  // Of products whose output is wider than their operands, or added to what is there: the time of
  // that further traffic that shows, as a part of its time at the datasheet's bandwidth. 0: not
  // measured, and then it counts in the roofline alone.
  double wide_output_exposed = 0;
  double narrow_output_exposed = 0;  // of adding to an output of two bytes
  GemmTrainingTime training;         // applies at sustained clocks
  // What that curve misses. Layouts that have one and occur in training only, dgrad and wgrad, take
  // curve and table at burst clocks too.
  GemmTrainingTables training_tables;
  // Products of few rows whose weights come from memory, as inference runs them (at sustained
  // clocks): measured whole, by (m, n, k).
  static constexpr std::size_t kThinAxes = 3;
  std::map<DType, YardstickTable> thin;
};

// Reads `efficiency.gemm` of a GPU file; null when it is missing.
std::shared_ptr<const GemmModel> read_gemm_model(Reader& efficiency);

KernelEstimate estimate_gemm(const Gpu& gpu, const GemmWork& work, Clocks clocks);
// Where that efficiency was measured.
// See octaves_outside().
double gemm_octaves_outside(const Gpu& gpu, const GemmWork& work, Clocks clocks);
std::string gemm_source(const Gpu& gpu, const GemmWork& work, Clocks clocks);

}  // namespace rehearse
