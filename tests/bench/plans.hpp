#pragma once

#include <vector>

#include "sim/config/scenario.hpp"

namespace rehearse::bench {

// The plans that one would try for GPT-3 175B on 512 GPUs (64 nodes of eight A100), global batch
// 1,536: tensor parallelism inside a node, pipelines up to 32 stages, virtual stages, micro-batch
// sizes, recomputation, and ZeRO 0 or 1. Only those that are possible.
std::vector<Scenario> plans_of_gpt3_on_512();

}  // namespace rehearse::bench
