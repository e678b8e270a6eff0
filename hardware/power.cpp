#include "hardware/power.hpp"

#include <algorithm>

#include "sim/config/catalog.hpp"

namespace rehearse {

Watts PowerModel::average(double compute_share, double memory_share, double link_share) const {
  const double watts = idle.value + compute.value * compute_share + memory.value * memory_share +
                       link.value * link_share;
  return Watts(std::min(watts, limit.value));
}

PowerModel read_power(Reader& gpu) {
  PowerModel power;
  if (!gpu.has("power")) return power;
  Reader reader = gpu.child("power");
  power.limit = reader.required<Watts>("limit");
  power.source = reader.optional<std::string>("source", "");
  const auto donor = reader.maybe<std::string>("transfer");
  if (!donor) {
    power.idle = reader.required<Watts>("idle");
    power.compute = reader.required<Watts>("compute");
    power.memory = reader.required<Watts>("memory");
    power.link = reader.optional<Watts>("link", Watts(0));
    reader.finish();
    return power;
  }
  const Value tree = resolve("gpus", Value::scalar(*donor, reader.raw("transfer").mark()));
  Diagnostics diagnostics;
  Reader other(tree, "gpu", diagnostics);
  const PowerModel known = read_power(other);
  diagnostics.throw_if_any();
  if (known.limit.value <= 0) reader.error("transfer", "'" + *donor + "' has no power model");
  const double scale = known.limit.value > 0 ? power.limit.value / known.limit.value : 0;
  power.idle = known.idle * scale;
  power.compute = known.compute * scale;
  power.memory = known.memory * scale;
  power.link = known.link * scale;
  reader.finish();
  return power;
}

}  // namespace rehearse
