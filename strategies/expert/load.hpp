#pragma once

#include <cstdint>
#include <vector>

#include "sim/config/scenario.hpp"

namespace rehearse {

// Rows of each of `experts` experts when `rows` rows are spread as `load` says; no expert gets more
// than `tokens`, since a token goes to an expert once. They add up to `rows`.
std::vector<std::int64_t> expert_rows(const ExpertLoad& load, std::int64_t rows,
                                      std::int64_t tokens, std::int64_t experts);

// Of `ranks` that have as many consecutive experts each, the rows of the one with the most. All
// ranks wait for it in every layer, so that one stands for all.
std::vector<std::int64_t> fullest_rank(const std::vector<std::int64_t>& rows, int ranks);

// Of the numbers of rows that `experts` experts (of all layers) get in one step, the share that no
// step of a benchmark has had before, where `rows` rows of `tokens` tokens go to one in the mean.
double unseen_rows(std::int64_t rows, std::int64_t tokens, std::int64_t experts);

}  // namespace rehearse
