#include <fmt/format.h>

#include "sim/config/sections.hpp"

namespace rehearse {
namespace {

double at_least(Reader& r, const std::string& key, double fallback, double least) {
  const double value = r.optional<double>(key, fallback);
  if (value >= least) return value;
  r.error(key, fmt::format("'{}' must be at least {}", key, least));
  return fallback;
}

Seconds positive(Reader& r, const std::string& key, Seconds value) {
  if (r.has(key) && !(value.value > 0)) r.error(key, fmt::format("'{}' must be positive", key));
  return value;
}

}  // namespace

Variation read_variation(Reader& r) {
  Variation v;
  v.kernel_jitter = at_least(r, "kernel_jitter", 0, 0);
  v.straggler_probability = at_least(r, "straggler_probability", 0, 0);
  v.straggler_slowdown = at_least(r, "straggler_slowdown", 1, 1);
  v.seed = static_cast<std::uint64_t>(r.count("seed", 1, 0));
  if (v.straggler_probability > 1)
    r.error("straggler_probability", "'straggler_probability' is at most 1");
  if (v.kernel_jitter >= 1)
    r.error("kernel_jitter",
            "'kernel_jitter' is the standard deviation of a kernel's time over its mean, below 1");
  return v;
}

std::optional<Failures> read_failures(Reader& r) {
  if (!r.value().is_map()) return std::nullopt;
  Failures f;
  f.mean_time_between = positive(r, "mean_time_between", r.required<Seconds>("mean_time_between"));
  f.checkpoint_time = r.required<Seconds>("checkpoint_time");
  f.restart_time = r.optional<Seconds>("restart_time", Seconds(0));
  const Value& interval = r.raw("checkpoint_interval");
  const bool automatic =
      interval.is_null() || (interval.is_scalar() && interval.as_scalar().text == "auto");
  if (!automatic)
    f.checkpoint_interval =
        positive(r, "checkpoint_interval", r.required<Seconds>("checkpoint_interval"));
  return f;
}

}  // namespace rehearse
