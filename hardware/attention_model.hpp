#pragma once

#include <memory>
#include <string>

#include "hardware/attention_table.hpp"
#include "hardware/estimate.hpp"
#include "hardware/work.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {

struct Gpu;

// Efficiency of fused attention. The forward pass is measured by shape; the backward pass does 2.5
// times its FLOPs (five products for two: Dao et al., FlashAttention, 2022) at
// `backward_efficiency` of the forward pass's rate. Without a causal mask the FLOPs double at the
// same efficiency.
struct AttentionModel {
  std::shared_ptr<const AttentionTable> table;
  double backward_efficiency = 1;
  std::string source;
  std::string backward_source;
};

// Reads `efficiency.attention` of a GPU file; null when it is missing.
std::shared_ptr<const AttentionModel> read_attention_model(Reader& efficiency);

KernelEstimate estimate_attention(const Gpu& gpu, const AttentionWork& work);
std::string attention_source(const Gpu& gpu, const AttentionWork& work);

}  // namespace rehearse
