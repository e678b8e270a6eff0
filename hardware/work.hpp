#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "sim/base/dtype.hpp"
#include "sim/base/quantity.hpp"

namespace rehearse {

// What is to be computed, without saying how long it takes: the seam between plans and prices.

// Which operands of out[m,n] = x[m,k] . w[n,k]^T are read along k (x and w of forward are; backward
// transposes one). m, n, k are those of the product that runs, so all layouts do 2 m n k FLOPs.
enum class GemmLayout : std::uint8_t { kForward, kDgrad, kWgrad };

struct GemmWork {
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t batch = 1;  // independent products (unfused attention)
  // Products of one grouped call, each with weights of its own, which share m (of wgrad: k) evenly.
  std::int64_t groups = 1;
  DType dtype = DType::kBf16;
  GemmLayout layout = GemmLayout::kForward;
  bool bias = false;        // an epilogue adds a vector
  bool accumulate = false;  // out is read too (fp32 main gradients)
  DType out = DType::kBf16;
};

enum class AttentionDirection : std::uint8_t { kForward, kBackward };

struct AttentionWork {
  std::int64_t batch = 1, heads = 0, kv_heads = 0;
  std::int64_t length = 0;      // queries
  std::int64_t kv_length = 0;   // keys; = length in training
  std::int64_t head_size = 0;   // of queries and keys
  std::int64_t value_size = 0;  // of values; 0: the same
  bool values_in_keys = false;  // values are columns of the keys, read once (cached latents)
  bool causal = true;
  DType dtype = DType::kBf16;
  AttentionDirection direction = AttentionDirection::kForward;
  bool dropout = false;  // of probabilities, drawn in the kernel
  int generation = 0;    // the kernel of FlashAttention 1 or 2; 0: the best that the GPU has
};

// A kernel bound by memory or by instruction issue: norms, elementwise, copies, the optimizer.
// `kernel_class` names a row of the GPU file's `kernels` table ("vectorized", "strided", "norm",
// "adamw", ...), which gives its rates.
struct MemoryWork {
  std::string kernel_class;
  Bytes read{0};
  Bytes written{0};
  std::int64_t elements = 0;  // outputs, for kernels bound by instruction issue
  std::int64_t rows = 0;      // rows that it works through, where a row has a cost of its own
  std::int64_t blocks = 0;    // thread blocks, where each works through all rows; 0: plenty
};

// Query-key pairs of one head. A causal mask ends at the last query and the last key, and counts
// half a square by the field's convention (not s (s + 1) / 2).
double attention_pairs(const AttentionWork& w);

using KernelWork = std::variant<GemmWork, AttentionWork, MemoryWork>;

Flops flops(const KernelWork& w);
Bytes bytes(const KernelWork& w);  // least traffic: every operand once

}  // namespace rehearse
