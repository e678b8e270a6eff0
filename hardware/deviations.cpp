#include "hardware/deviations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "sim/config/catalog.hpp"

namespace rehearse {
namespace {

using Range = std::pair<int, int>;

std::optional<int> index_in(std::string_view text, int size) {
  int value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = status == std::errc() && end == text.data() + text.size();
  return whole && value >= 0 && value < size ? std::optional(value) : std::nullopt;
}

// "5" or "8-15", both ends included.
std::optional<Range> range_in(const Value& item, int size) {
  if (!item.is_scalar()) return std::nullopt;
  const std::string_view text = item.as_scalar().text;
  const std::size_t dash = text.find('-');
  const auto first = index_in(text.substr(0, dash), size);
  const auto last = dash == std::string_view::npos ? first : index_in(text.substr(dash + 1), size);
  if (!first || !last || *last < *first) return std::nullopt;
  return Range{*first, *last};
}

// The ranks that a deviation is of.
std::vector<Range> places(Reader& reader, const Cluster& cluster) {
  const bool gpus = reader.has("gpus"), nodes = reader.has("nodes");
  if (gpus == nodes) {
    reader.error(gpus ? "gpus" : "nodes", "a deviation says which 'gpus' or which 'nodes'");
    return {};
  }
  const std::string key = gpus ? "gpus" : "nodes";
  const int each = gpus ? 1 : cluster.gpus_per_node;
  const int size = gpus ? cluster.gpus() : cluster.nodes;
  const Value& given = reader.raw(key);
  std::vector<Range> out;
  const auto add = [&](const Value& item) {
    if (const auto range = range_in(item, size)) {
      out.emplace_back(range->first * each, (range->second + 1) * each - 1);
    } else {
      reader.error(key, fmt::format("'{}' takes numbers of 0 to {}, such as 5, 0-3 or [1, 4-7]",
                                    key, size - 1));
    }
  };
  if (given.is_list()) {
    for (const Value& item : given.as_list()) add(item);
  } else {
    add(given);
  }
  return out;
}

double fraction(Reader& reader, const std::string& key) {
  const double value = reader.optional<double>(key, 1);
  if (value > 0 && value <= 1) return value;
  reader.error(
      key, fmt::format("'{}' is a fraction of what the others have, above 0 and at most 1", key));
  return 1;
}

LinkShare links_of(Reader& reader, const Cluster& cluster) {
  LinkShare links;
  links.intra_node = fraction(reader, "intra_node_bandwidth");
  links.inter_node = fraction(reader, "inter_node_bandwidth");
  const std::int64_t lost = reader.count("lost_nics", 0, 0);
  for (const char* key : {"inter_node_bandwidth", "lost_nics"})
    if (reader.has(key) && !reader.has("nodes"))
      reader.error(key, fmt::format("'{}' is of whole 'nodes': their GPUs share the NICs", key));
  if (lost == 0) return links;
  if (lost >= cluster.nics_per_node) {
    reader.error("lost_nics", fmt::format("{} of {} NICs lost leave a node without a network", lost,
                                          cluster.nics_per_node));
    return links;
  }
  links.inter_node *= 1 - static_cast<double>(lost) / cluster.nics_per_node;
  return links;
}

int type_of(Reader& reader, Cluster& cluster) {
  const Value& field = reader.raw("gpu");
  if (field.is_null()) return 0;
  try {
    const Gpu gpu = read_gpu(resolve("gpus", field));
    for (int type = 0; type <= static_cast<int>(cluster.other_gpus.size()); ++type)
      if (field.is_scalar() && cluster.gpu_of_type(type).name == gpu.name) return type;
    cluster.other_gpus.push_back(gpu);
  } catch (const UserError& e) {
    reader.diagnostics().add(e);
  }
  return static_cast<int>(cluster.other_gpus.size());
}

}  // namespace

LinkShare slower(const LinkShare& a, const LinkShare& b) {
  return {std::min(a.intra_node, b.intra_node), std::min(a.inter_node, b.inter_node)};
}

GpuState gpu_state(const Cluster& cluster, int rank) {
  GpuState state;
  for (const Deviation& d : cluster.deviations) {
    if (rank < d.first || rank > d.last) continue;
    if (d.gpu_type > 0) state.gpu_type = d.gpu_type;
    state.speed *= d.speed;
    state.links.intra_node *= d.links.intra_node;
    state.links.inter_node *= d.links.inter_node;
  }
  return state;
}

void read_deviations(Reader& cluster_reader, Cluster& cluster) {
  const Value& list = cluster_reader.raw("deviations");
  if (list.is_null()) return;
  if (!list.is_list()) {
    cluster_reader.error("deviations", "'deviations' is a list, such as [{gpus: 5, speed: 0.8}]");
    return;
  }
  for (const Value& item : list.as_list()) {
    Reader reader(item, "deviation", cluster_reader.diagnostics());
    Deviation d;
    d.speed = fraction(reader, "speed");
    d.links = links_of(reader, cluster);
    d.gpu_type = type_of(reader, cluster);
    for (const auto& [first, last] : places(reader, cluster)) {
      d.first = first;
      d.last = last;
      cluster.deviations.push_back(d);
    }
    reader.finish();
  }
}

}  // namespace rehearse
