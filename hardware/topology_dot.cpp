#include <fmt/format.h>

#include <algorithm>

#include "hardware/topology.hpp"
#include "sim/base/format.hpp"

namespace rehearse {
namespace {

std::string times(int n, const std::string& what) {
  return n == 1 ? what : fmt::format("{} \u00d7 {}", n, what);
}

// What one node holds: its GPUs, the links between them, its NICs.
std::string node_dot(const Cluster& c) {
  std::string out =
      fmt::format("  subgraph cluster_node {{\n    label=\"{}\"; style=rounded; color=gray50;\n",
                  c.nodes > 1 ? fmt::format("node (of {})", c.nodes) : "node");
  const std::string rate = format_rate(c.intra_node.bandwidth);
  const std::string gpu = c.gpu.name;
  if (!c.node_links.mesh.empty()) {
    for (int g = 0; g < c.gpus_per_node; ++g)
      out += fmt::format("    gpu{0} [label=\"{1} {0}\"];\n", g, gpu);
    for (const MeshLink& m : c.node_links.mesh) {
      const int ends[] = {m.a, m.b};
      const Route r = route(c, ends[0], ends[1]);
      out += fmt::format("    gpu{} -- gpu{} [label=\"{}\", penwidth={}];\n", m.a, m.b,
                         format_rate(r.bandwidth()), m.links);
    }
    return out;
  }
  if (c.intra_node.type == "pcie") {
    const int per_switch =
        c.node_links.gpus_per_switch > 0 ? c.node_links.gpus_per_switch : c.gpus_per_node;
    const int switches = (c.gpus_per_node + per_switch - 1) / per_switch;
    out += fmt::format("    gpu0 [label=\"{}\"];\n    switch0 [label=\"{}\", shape=ellipse];\n",
                       times(per_switch, gpu), times(switches, "PCIe switch"));
    out += fmt::format("    gpu0 -- switch0 [label=\"{} each\"];\n", rate);
    if (switches > 1) {
      const int sockets =
          c.node_links.gpus_per_socket > 0
              ? (c.gpus_per_node + c.node_links.gpus_per_socket - 1) / c.node_links.gpus_per_socket
              : 1;
      out += fmt::format(
          "    root [label=\"{}\", shape=ellipse];\n    switch0 -- root "
          "[label=\"{}\"];\n",
          times(sockets, "CPU socket"), rate);
      if (sockets > 1 && c.node_links.socket_bandwidth.value > 0)
        out += fmt::format("    root -- root [label=\"{}\"];\n",
                           format_rate(c.node_links.socket_bandwidth));
    }
    return out;
  }
  out += fmt::format("    gpu0 [label=\"{}\"];\n", times(c.gpus_per_node, gpu));
  if (c.gpus_per_node == 1) return out;
  if (c.intra_node.type == "nvlink")
    return out + fmt::format("    gpu0 -- gpu0 [label=\"{}\"];\n", rate);
  out += fmt::format(
      "    switch0 [label=\"{}\", shape=ellipse];\n    gpu0 -- switch0 "
      "[label=\"{} each\"];\n",
      c.collectives.nvls ? "NVSwitch (NVLS)" : "NVSwitch", rate);
  return out;
}

std::string fabric_dot(const Cluster& c) {
  const std::string nic = format_rate(c.inter_node.bandwidth);
  if (c.topology == "torus") {
    std::string size;
    for (const int d : c.torus) size += (size.empty() ? "" : " \u00d7 ") + std::to_string(d);
    return fmt::format(
        "  nic0 -- torus [label=\"{}\"];\n  torus [label=\"torus {}\", "
        "shape=ellipse];\n",
        nic, size);
  }
  const bool rails = c.topology == "rail-optimized";
  const int per_leaf = c.nodes_per_leaf > 0 ? c.nodes_per_leaf : c.nodes;
  const int groups = (c.nodes + per_leaf - 1) / per_leaf;
  const int leaves = groups * (rails ? c.nics_per_node : 1);
  std::string out =
      fmt::format("  leaf [label=\"{}{}\", shape=ellipse];\n  nic0 -- leaf [label=\"{} each\"];\n",
                  times(leaves, "leaf switch"), rails ? ", one a rail" : "", nic);
  if (groups > 1 || rails || c.oversubscription > 1)
    out += fmt::format(
        "  spine [label=\"spine\", shape=ellipse];\n  leaf -- spine [label=\"{} a NIC\"];\n",
        format_rate(c.inter_node.bandwidth / c.oversubscription));
  return out;
}

}  // namespace

std::string topology_dot(const Cluster& c) {
  std::string out = fmt::format(
      "graph \"{}\" {{\n  rankdir=BT; node [shape=box, fontname=\"Helvetica\"]; edge "
      "[fontname=\"Helvetica\", fontsize=10];\n",
      c.name);
  out += node_dot(c);
  if (c.nodes > 1) {
    out += fmt::format("    nic0 [label=\"{}\", shape=component];\n    {} -- nic0;\n  }}\n",
                       times(c.nics_per_node, c.inter_node.type + " NIC"),
                       c.intra_node.type == "pcie" && c.gpus_per_node > 1 ? "switch0" : "gpu0");
    out += fabric_dot(c);
  } else {
    out += "  }\n";
  }
  return out + "}\n";
}

}  // namespace rehearse
