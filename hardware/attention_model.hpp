#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "hardware/attention_table.hpp"
#include "hardware/estimate.hpp"
#include "hardware/work.hpp"
#include "hardware/yardstick_table.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {

struct Gpu;
enum class Clocks : std::uint8_t;

// A measured table with where it is from.
struct AttentionEntry {
  std::shared_ptr<const AttentionTable> table;
  std::string source;
};

// What a training framework runs of attention, by direction. No table: not measured.
struct TrainingAttention {
  AttentionEntry forward, backward;
};

// What dropout multiplies the kernels' times by.
struct AttentionDropout {
  double forward = 1, backward = 1;
};

// Efficiency of fused attention. The forward pass is measured by shape in inference libraries. What
// a training framework runs is another kernel, and one more for operands of 32 bits: where it is
// measured, `forward` of `training` holds at sustained clocks and `backward` always. Elsewhere the
// backward pass does 2.5 times the forward pass's FLOPs (five products for two: Dao et al.,
// FlashAttention, 2022) at `backward_efficiency` of its rate. Without a causal mask the FLOPs
// double at the same efficiency.
struct AttentionModel {
  AttentionEntry forward;
  TrainingAttention training, training_fp32;
  // One query of every sequence over a cache, by (batch x key-value heads, queries that share one,
  // keys, head size).
  static constexpr std::size_t kDecodeAxes = 4;
  YardstickTable decode;
  double backward_efficiency = 1;
  std::string backward_source;
  AttentionDropout dropout;
  // What a FLOP counts of a matrix product's where the power limit slows a step: the tensor cores
  // of attention wait for softmax.
  double throttles_as = 1;
  // FlashAttention 1's rates; 0: not known, and its works are priced like the others.
  FlopsPerSecond first_forward{0}, first_backward{0};
  std::string first_source;
  // FlashAttention 2's kernels, which use what Ampere has: measured, or on a GPU where they were
  // not, another's times over a ratio of rates. Null: the GPU's own table.
  struct Older {
    std::shared_ptr<const AttentionModel> model;
    double peak = 0, bandwidth = 0;  // of another GPU that was measured, of the type; 0: this one
    double faster = 1;
    std::string source;
  } second;
};

// Reads `efficiency.attention` of a GPU file; null when it is missing.
std::shared_ptr<const AttentionModel> read_attention_model(Reader& efficiency);

KernelEstimate estimate_attention(const Gpu& gpu, const AttentionWork& work, Clocks clocks);
// See octaves_outside().
double attention_octaves_outside(const Gpu& gpu, const AttentionWork& work, Clocks clocks);
std::string attention_source(const Gpu& gpu, const AttentionWork& work, Clocks clocks);

}  // namespace rehearse
