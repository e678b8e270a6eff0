#include "tools/cli/explain/cluster.hpp"

#include <fmt/format.h>

#include "hardware/link_capacity.hpp"
#include "hardware/topology.hpp"
#include "sim/base/format.hpp"
#include "sim/report/writers/text_table.hpp"

namespace rehearse {
namespace {

using Align = TextTable::Align;

std::string heading(const Cluster& c) {
  std::string out =
      wrap("", fmt::format("{}: {} {} GPUs, {} in each of {} nodes", c.name, format_count(c.gpus()),
                           c.gpu.name, c.gpus_per_node, format_count(c.nodes)));
  if (c.gpus_per_node > 1)
    out +=
        wrap("inside a node   ",
             fmt::format("{}, {} a GPU in each direction, {} a message{}", c.intra_node.type,
                         format_rate(c.intra_node.bandwidth), format_seconds(c.intra_node.latency),
                         c.collectives.nvls ? ", reductions in the switches (NVLS)" : ""));
  if (c.nodes == 1) return out;
  std::string fabric = c.topology;
  if (c.nodes_per_leaf > 0) fabric += fmt::format(", {} nodes a leaf", c.nodes_per_leaf);
  if (c.oversubscription > 1) fabric += fmt::format(", oversubscribed {}:1", c.oversubscription);
  if (!c.gpu_direct) fabric += ", without GPU-direct";
  out += wrap("between nodes   ",
              fmt::format("{}, {} NICs a node, {} a NIC in each direction, {} a message, {}",
                          c.inter_node.type, c.nics_per_node, format_rate(c.inter_node.bandwidth),
                          format_seconds(c.inter_node.latency), fabric));
  return out;
}

std::string deviations(const Cluster& c) {
  std::string out;
  for (const Deviation& d : c.deviations) {
    std::string what;
    const auto add = [&](const std::string& text) { what += (what.empty() ? "" : ", ") + text; };
    if (d.gpu_type > 0) add(c.gpu_of_type(d.gpu_type).name);
    if (d.speed < 1) add(fmt::format("speed {:.3g}", d.speed));
    if (d.links.intra_node < 1) add(fmt::format("{:.3g} of the node's links", d.links.intra_node));
    if (d.links.inter_node < 1) add(fmt::format("{:.3g} of the NICs", d.links.inter_node));
    out += wrap("deviation       ",
                fmt::format("{}: {}",
                            d.first == d.last ? fmt::format("GPU {}", d.first)
                                              : fmt::format("GPUs {} to {}", d.first, d.last),
                            what));
  }
  return out;
}

// What transfers of different kinds share where they meet.
std::string shared_links(const Cluster& c) {
  constexpr std::pair<LinkTier, const char*> kTiers[] = {{LinkTier::kPort, "port"},
                                                         {LinkTier::kBridge, "PCIe bridge"},
                                                         {LinkTier::kSocket, "link of a socket"},
                                                         {LinkTier::kNic, "NICs"},
                                                         {LinkTier::kFabric, "way past its leaf"}};
  std::string out;
  for (const auto& [tier, name] : kTiers) {
    const bool inside = tier != LinkTier::kNic && tier != LinkTier::kFabric;
    const int gpus = gpus_per_link(c, tier);
    if (gpus == 0 || (inside ? c.gpus_per_node : c.nodes) == 1) continue;
    out += wrap("  ", fmt::format("{}, of {} GPU{}: {}", name, gpus, gpus == 1 ? "" : "s",
                                  format_rate(link_capacity(c, tier))));
  }
  return out;
}

}  // namespace

std::string explain_cluster(const Cluster& c) {
  std::string out = heading(c) + deviations(c);
  if (c.gpus() == 1) return out;
  TextTable table({{"from GPU 0 to", Align::kLeft},
                   {"GPUs"},
                   {"e.g."},
                   {"narrowest link"},
                   {"latency"},
                   {"1 KiB"},
                   {"1 MiB"},
                   {"1 GiB"},
                   {"at 1 GiB"}});
  std::string routes;
  for (const RouteClass& k : route_classes(c)) {
    const auto time = [&](std::int64_t bytes) {
      return point_to_point_time(c, 0, k.example, Bytes(bytes));
    };
    const std::int64_t gib = std::int64_t{1} << 30;
    table.add_row({k.name, format_count(k.gpus), std::to_string(k.example),
                   format_rate(k.route.bandwidth()), format_seconds(k.route.latency),
                   format_seconds(time(1 << 10)), format_seconds(time(1 << 20)),
                   format_seconds(time(gib)), format_rate(Bytes(gib) / time(gib))});
    routes += wrap(fmt::format("  {}: ", k.name), k.route.text());
  }
  out +=
      "\n" + table.to_string("") +
      "\nlatency and narrowest link: as the cluster states them; times: a message of that size as "
      "the\nlibrary carries it, nothing else on the links\n\nroutes\n" +
      routes +
      "\nlinks that transfers share, max-min fairly, and what they get of them together, one "
      "direction\n" +
      shared_links(c);
  return out;
}

}  // namespace rehearse
