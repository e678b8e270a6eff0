#include <algorithm>
#include <filesystem>
#include <memory>

#include "hardware/collectives/tuning.hpp"
#include "sim/base/suggest.hpp"
#include "sim/config/catalog.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {
namespace {

namespace fs = std::filesystem;

std::optional<CollectiveOp> op_from_string(std::string_view name) {
  for (std::size_t i = 0; i < kCollectiveOps; ++i) {
    if (to_string(static_cast<CollectiveOp>(i)) == name) return static_cast<CollectiveOp>(i);
  }
  return std::nullopt;
}

Regime read_regime(const Value& value, Diagnostics& diagnostics) {
  Reader reader(value, "regime", diagnostics);
  Regime regime;
  regime.from_bytes = static_cast<double>(reader.optional<Bytes>("from", Bytes(0)).value);
  regime.latency = reader.required<Seconds>("latency");
  regime.bandwidth = reader.required<BytesPerSecond>("bandwidth");
  if (regime.latency.value < 0) reader.error("latency", "latency must not be negative");
  if (!(regime.bandwidth.value > 0)) reader.error("bandwidth", "bandwidth must be positive");
  reader.finish();
  return regime;
}

MeasuredCurve read_curve(const Value& value, CollectiveOp op, Diagnostics& diagnostics) {
  Reader reader(value, "measured curve", diagnostics);
  MeasuredCurve curve;
  curve.ranks = static_cast<int>(reader.required_count("ranks", 2));
  curve.nvls = reader.optional<bool>("nvls", false);
  const Value& regimes = reader.raw("regimes");
  if (!regimes.is_list() || regimes.as_list().empty()) {
    reader.error("regimes", "'regimes' must be a list of at least one range of sizes");
    reader.finish();
    curve.regimes.push_back({0, Seconds(0), BytesPerSecond(1), Seconds(0)});
    return curve;
  }
  for (const Value& item : regimes.as_list()) {
    Regime regime = read_regime(item, diagnostics);
    if (!curve.regimes.empty()) {
      const Regime& before = curve.regimes.back();
      if (regime.from_bytes <= before.from_bytes) {
        diagnostics.add(item.mark(), "regimes must be in rising order of 'from'");
      } else if (before.bandwidth.value > 0) {
        regime.floor = curve.at(op, regime.from_bytes * (1 - 1e-12)).total();
      }
    }
    curve.regimes.push_back(regime);
  }
  reader.finish();
  return curve;
}

void read_measured(const Value& value, TuningTable& table, Diagnostics& diagnostics) {
  if (value.is_null()) return;
  if (!value.is_map()) {
    diagnostics.add(value.mark(), "'measured' must be a mapping from operation to curves");
    return;
  }
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kCollectiveOps; ++i) {
    names.emplace_back(to_string(static_cast<CollectiveOp>(i)));
  }
  for (const auto& [name, curves] : value.as_map()) {
    const auto op = op_from_string(name);
    if (!op || !curves.is_list()) {
      diagnostics.add(
          curves.key_mark(),
          op ? "'" + name + "' must be a list of curves" : "unknown operation '" + name + "'",
          op ? "" : suggestion(name, names));
      continue;
    }
    auto& into = table.curves[static_cast<std::size_t>(*op)];
    for (const Value& curve : curves.as_list()) {
      into.push_back(read_curve(curve, *op, diagnostics));
    }
    std::stable_sort(into.begin(), into.end(), [](const MeasuredCurve& a, const MeasuredCurve& b) {
      return a.ranks < b.ranks;
    });
  }
}

Protocol read_protocol(const Value& value, Diagnostics& diagnostics) {
  Reader reader(value, "protocol", diagnostics);
  Protocol protocol;
  protocol.name = reader.required<std::string>("name");
  protocol.base = reader.optional<Seconds>("base", Seconds(0));
  protocol.intra_hop = reader.optional<Seconds>("intra_hop", Seconds(0));
  protocol.inter_hop = reader.optional<Seconds>("inter_hop", Seconds(0));
  protocol.bandwidth = reader.optional<double>("bandwidth", 1);
  protocol.nvls = reader.optional<bool>("nvls", false);
  if (!(protocol.bandwidth > 0 && protocol.bandwidth <= 1)) {
    reader.error("bandwidth", "'bandwidth' is a fraction of the link's, above 0 and at most 1");
  }
  reader.finish();
  return protocol;
}

NetworkPath read_path(const Value& value, const TuningTable& table, Diagnostics& diagnostics) {
  Reader reader(value, "path of the network", diagnostics);
  NetworkPath path;
  const std::vector<std::string> algorithms{"ring", "tree", "nvls"};
  std::vector<std::string> protocols;
  for (const Protocol& protocol : table.protocols) protocols.push_back(protocol.name);
  path.algorithm = algorithms[reader.choice("algorithm", algorithms, 0)];
  path.protocol = protocols[reader.choice("protocol", protocols, 0)];
  path.hop = reader.required<Seconds>("hop");
  path.efficiency = reader.required<double>("efficiency");
  path.in_flight = static_cast<int>(std::min<std::int64_t>(reader.count("in_flight", 0, 0), 64));
  if (!(path.hop.value >= 0)) reader.error("hop", "'hop' must not be negative");
  if (reader.has("efficiency") && !(path.efficiency > 0 && path.efficiency <= 1)) {
    reader.error("efficiency",
                 "'efficiency' is a fraction of the NICs' line rate, above 0 and at most 1");
  }
  reader.finish();
  return path;
}

// Measured on GPUs whose links are nearest to those of a GPU that nobody measured.
constexpr std::string_view kFallbackTuning = "a100-sxm";

// The GPU's own table; that of the GPU it is a variant of ("a100-sxm" for "a100-sxm-40gb"); else
// the fallback, whose bandwidths scale with the cluster's links.
std::string tuning_of(const std::string& gpu) {
  std::string best(kFallbackTuning);
  std::size_t length = 0;
  for (const std::string& name : tuning_names()) {
    if (gpu.starts_with(name) && name.size() > length) {
      best = name;
      length = name.size();
    }
  }
  return best;
}

fs::path tuning_directory() { return fs::path(configs_directory()) / "clusters" / "tuning"; }

}  // namespace

TuningTable read_tuning(const Value& tree) {
  Diagnostics diagnostics;
  TuningTable table;
  Reader reader(tree, "tuning", diagnostics);
  table.name = reader.optional<std::string>("name", "");
  table.source = reader.optional<std::string>("source", "");
  reader.raw("provenance");
  Reader link = reader.child("link");
  table.link.type = link.optional<std::string>("type", "");
  table.link.bandwidth = link.required<BytesPerSecond>("bandwidth");
  table.link.latency = link.optional<Seconds>("latency", Seconds(0));
  link.finish();
  read_measured(reader.raw("measured"), table, diagnostics);
  table.nvls_efficiency = reader.optional<double>("nvls_efficiency", table.nvls_efficiency);
  if (!(table.nvls_efficiency > 0 && table.nvls_efficiency <= 1)) {
    reader.error("nvls_efficiency", "'nvls_efficiency' is a fraction of the link's bandwidth");
  }
  table.channel_bandwidth =
      reader.optional<BytesPerSecond>("channel_bandwidth", table.channel_bandwidth);
  table.shared_efficiency = reader.optional<double>("shared_efficiency", 0);
  if (!(table.shared_efficiency >= 0 && table.shared_efficiency <= 1)) {
    reader.error("shared_efficiency", "'shared_efficiency' is a fraction of the link's bandwidth");
  }
  const Value& protocols = reader.raw("protocols");
  if (protocols.is_list()) {
    for (const Value& item : protocols.as_list()) {
      table.protocols.push_back(read_protocol(item, diagnostics));
    }
  }
  if (table.protocols.empty()) {
    reader.error("protocols", "'protocols' must list at least one protocol");
  }
  reader.finish();
  diagnostics.throw_if_any();
  return table;
}

std::shared_ptr<const TuningTable> with_network(std::shared_ptr<const TuningTable> table,
                                                const Value& field) {
  if (field.is_null() || !table) return table;
  Diagnostics diagnostics;
  TuningTable with = *table;
  Reader reader(field, "network", diagnostics);
  reader.raw("source");
  reader.raw("provenance");
  with.network_overlap = reader.optional<double>("overlap", 1);
  if (!(with.network_overlap >= 1)) reader.error("overlap", "'overlap' must be at least 1");
  const Value& paths = reader.raw("paths");
  if (paths.is_list()) {
    for (const Value& item : paths.as_list()) {
      with.network.push_back(read_path(item, with, diagnostics));
    }
  }
  if (with.network.empty()) reader.error("paths", "'paths' must list at least one path");
  reader.finish();
  diagnostics.throw_if_any();
  return std::make_shared<const TuningTable>(std::move(with));
}

std::shared_ptr<const TuningTable> with_protocols(std::shared_ptr<const TuningTable> table,
                                                  const Value& field) {
  if (field.is_null() || !table) return table;
  if (!field.is_list() || field.as_list().empty())
    throw UserError(field.mark(), "'protocols' must list at least one protocol");
  std::vector<std::string> names;
  for (const Protocol& protocol : table->protocols) names.push_back(protocol.name);
  std::vector<std::string> allowed;
  for (const Value& item : field.as_list()) {
    const std::string name = item.is_scalar() ? item.as_scalar().text : "";
    if (std::find(names.begin(), names.end(), name) == names.end())
      throw UserError(item.mark(), "no protocol '" + name + "'", suggestion(name, names));
    allowed.push_back(name);
  }
  const auto not_allowed = [&](const std::string& name) {
    return std::find(allowed.begin(), allowed.end(), name) == allowed.end();
  };
  TuningTable with = *table;
  std::erase_if(with.protocols, [&](const Protocol& p) { return not_allowed(p.name); });
  std::erase_if(with.network, [&](const NetworkPath& p) { return not_allowed(p.protocol); });
  return std::make_shared<const TuningTable>(std::move(with));
}

std::vector<std::string> tuning_names() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(tuning_directory(), error)) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::shared_ptr<const TuningTable> resolve_tuning(const Value& field, const std::string& gpu) {
  if (field.is_map()) return std::make_shared<const TuningTable>(read_tuning(field));
  const bool given = field.is_scalar();
  const std::string name = given ? field.as_scalar().text : tuning_of(gpu);
  if (given && name == "none") return nullptr;
  fs::path path = tuning_directory() / (name + ".yaml");
  if (given && (name.find('/') != std::string::npos || name.ends_with(".yaml"))) {
    path = fs::path(field.mark().file).parent_path() / name;
    if (!fs::exists(path)) path = name;
  }
  if (!fs::exists(path)) {
    if (!given) return nullptr;
    throw UserError(field.mark(), "no collective tuning '" + name + "'",
                    suggestion(name, tuning_names()));
  }
  TuningTable table = read_tuning(parse_file(path.string()));
  if (table.name.empty()) table.name = path.stem().string();
  return std::make_shared<const TuningTable>(std::move(table));
}

}  // namespace rehearse
