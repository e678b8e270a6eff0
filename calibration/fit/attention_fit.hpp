#pragma once

#include <string>
#include <vector>

#include "hardware/attention_table.hpp"

namespace rehearse {

// A forward pass of causal attention that was timed.
struct AttentionSample {
  AttentionWork work;
  double microseconds = 0;
};
std::vector<AttentionSample> read_attention_samples(const std::string& path);

// Calls of a results file (calibration/pytorch/attention.py) in one direction and type. In fp32
// PyTorch has a fused kernel for equal numbers of heads alone; the others are left out.
std::vector<AttentionSample> measured_attention(const std::string& path,
                                                AttentionDirection direction, DType dtype);

// A grid through all samples, a Gaussian process for each head size: log2(time / yardstick) is
// smooth in log2 of batch, heads, key heads and length.
AttentionGrid fit_attention_grid(const std::vector<AttentionSample>& samples,
                                 const AttentionMachine& machine);

struct AttentionErrors {
  double median = 0;  // of |predicted / measured - 1|
  double mean = 0;
  std::size_t kernels = 0;
};
AttentionErrors attention_errors(const AttentionInterpolator& model,
                                 const AttentionMachine& machine,
                                 const std::vector<AttentionSample>& samples);

// The shape's fold of five, by a hash.
int attention_fold(const AttentionSample& sample);
// Fits four folds and tells the errors on the fifth.
AttentionErrors held_out_attention_errors(const std::vector<AttentionSample>& samples,
                                          const AttentionMachine& machine);

}  // namespace rehearse
