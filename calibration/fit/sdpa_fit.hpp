#pragma once

#include <vector>

#include "calibration/fit/attention_fit.hpp"

namespace rehearse {

// A grid through all samples, one Gaussian process: log2(time / yardstick) is smooth in log2 of
// batch, heads, heads per key head, length and head size, and has a rougher part in heads of the
// whole batch, which fill the SMs in rounds.
AttentionGrid fit_sdpa_grid(const std::vector<AttentionSample>& samples,
                            const AttentionMachine& machine);

// Fits four folds and tells the errors on the fifth.
AttentionErrors held_out_sdpa_errors(const std::vector<AttentionSample>& samples,
                                     const AttentionMachine& machine);

}  // namespace rehearse
