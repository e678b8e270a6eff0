#include <array>

#include "hardware/collectives/algorithm.hpp"

namespace rehearse {
namespace {

constexpr std::array kAlgorithms{
    CollectiveAlgorithm{"ring",
                        "neighbours in a circle; all_gather, reduce_scatter, all_reduce; "
                        "broadcast as a pipelined chain",
                        ring_cost, true, true},
    CollectiveAlgorithm{"hierarchical",
                        "inside the nodes, then between them on one rail a GPU; all_gather, "
                        "reduce_scatter, all_reduce, broadcast",
                        hierarchical_cost, true, false},
    CollectiveAlgorithm{"direct", "every pair exchanges its own part; all_to_all, send_recv",
                        direct_cost, true, true},
    CollectiveAlgorithm{"tree", "reduce up and broadcast down a double binary tree", tree_cost,
                        false, true},
    CollectiveAlgorithm{"recursive", "recursive halving, then doubling, over distances of 1, 2, 4",
                        recursive_cost, false, false},
    CollectiveAlgorithm{"nvls", "all_reduce in the NVSwitches of one node (NVLink SHARP)",
                        nvls_cost, false, true},
};

}  // namespace

std::span<const CollectiveAlgorithm> collective_algorithms() { return kAlgorithms; }

const CollectiveAlgorithm* find_collective_algorithm(std::string_view name) {
  for (const CollectiveAlgorithm& algorithm : kAlgorithms) {
    if (algorithm.name == name) return &algorithm;
  }
  return nullptr;
}

std::vector<std::string> collective_algorithm_names() {
  std::vector<std::string> names;
  for (const CollectiveAlgorithm& algorithm : kAlgorithms) names.emplace_back(algorithm.name);
  return names;
}

}  // namespace rehearse
