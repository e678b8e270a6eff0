#pragma once

#include "hardware/cluster.hpp"
#include "strategies/program.hpp"

namespace rehearse::bench {

// The workload that ASTRA-sim's authors time its analytical backend on: 1,024 GPUs in one network
// connected as a ring, 96 layers, each with two all-reduces of 50 MB over all GPUs in forward and
// two in backward, and after the last layer's backward an all-reduce of 453 MB for each layer.
struct RingTraining {
  int ranks = 1024;  // of the network
  int layers = 96;
  bool fold = true;  // one rank stands for all
  // Milliseconds of computing between two collectives.
  double compute_ms = 1;
};
Cluster ring_cluster(const RingTraining& t);
Program ring_program(const RingTraining& t);

}  // namespace rehearse::bench
