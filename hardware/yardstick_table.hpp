#pragma once

#include <memory>
#include <string>

#include "hardware/ratio_table.hpp"
#include "sim/base/quantity.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {

// Measured times of small kernels on a grid of sizes, relative to overhead + the roofline's time,
// so that it carries to other GPUs. Outside the grid the ratio of its edge holds.
struct YardstickTable {
  std::shared_ptr<const RatioTable> table;  // null: not measured
  Seconds overhead{0};
  std::string source;

  bool known() const { return table != nullptr; }
  Seconds time(Seconds roofline, std::span<const std::int64_t> sizes) const;
};

// `axes`: of the grid.
YardstickTable read_yardstick_table(Reader reader, std::size_t axes);

}  // namespace rehearse
