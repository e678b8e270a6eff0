#include "hardware/yardstick_table.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "hardware/estimate.hpp"

namespace rehearse {

Seconds YardstickTable::time(Seconds roofline, std::span<const std::int64_t> sizes) const {
  return (overhead + roofline) * std::exp2(table->get().log2_ratio(sizes));
}

YardstickTable read_yardstick_table(Reader reader, std::size_t axes) {
  YardstickTable out;
  const auto path = reader.required<std::string>("table");
  const Mark& mark = reader.raw("table").mark();
  out.table = std::make_shared<const RatioTable>(beside_gpu_file(mark, path), mark, axes);
  out.overhead = reader.optional<Seconds>("overhead", Seconds(0));
  out.source = reader.optional<std::string>("source", path);
  if (const auto mean = reader.maybe<double>("held_out_mean_percent"))
    out.source += fmt::format(" (held-out error: mean {:.1f} %)", *mean);
  reader.finish();
  return out;
}

}  // namespace rehearse
