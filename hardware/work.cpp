#include "hardware/work.hpp"

#include <algorithm>

namespace rehearse {

namespace {

constexpr std::int64_t kLogSumExpBytes = 4;  // one fp32 a query and head

double as_double(std::int64_t v) { return static_cast<double>(v); }

std::int64_t keys_of(const AttentionWork& w) { return w.kv_length > 0 ? w.kv_length : w.length; }

std::int64_t values_of(const AttentionWork& w) {
  return w.value_size > 0 ? w.value_size : w.head_size;
}

Bytes gemm_bytes(const GemmWork& w) {
  const bool weights = w.layout == GemmLayout::kWgrad;
  const std::int64_t in =
      (w.m * w.k + (weights ? 1 : w.groups) * w.n * w.k) * size_of(w.dtype).value;
  const std::int64_t out =
      (weights ? w.groups : 1) * w.m * w.n * size_of(w.out).value * (w.accumulate ? 2 : 1);
  const std::int64_t bias = w.bias ? w.n * size_of(w.out).value : 0;
  return Bytes(w.batch * (in + out + bias));
}

// Backward reads q, k, v, o, do and the log-sum-exp and writes dq, dk, dv; forward reads q, k, v
// and writes o and the log-sum-exp.
Bytes attention_bytes(const AttentionWork& w) {
  const bool backward = w.direction == AttentionDirection::kBackward;
  const std::int64_t size = size_of(w.dtype).value;
  const std::int64_t columns = w.head_size + values_of(w);  // of q and o, and of k and v
  const std::int64_t kept = w.values_in_keys ? w.head_size : columns;
  const std::int64_t query = w.batch * w.heads * w.length * columns * size;
  const std::int64_t key = w.batch * w.kv_heads * keys_of(w) * kept * size;
  const std::int64_t statistic = w.batch * w.heads * w.length * kLogSumExpBytes;
  return Bytes((backward ? 2 : 1) * (query + key) + statistic);
}

struct FlopsOf {
  Flops operator()(const GemmWork& w) const {
    return Flops(2 * as_double(w.batch) * as_double(w.m) * as_double(w.n) * as_double(w.k));
  }
  Flops operator()(const AttentionWork& w) const {
    // Forward: scores and their product with values; backward: the scores again, dq and dk, dv and
    // the gradient of the probabilities.
    const bool backward = w.direction == AttentionDirection::kBackward;
    const double columns =
        (backward ? 3 : 1) * as_double(w.head_size) + (backward ? 2 : 1) * as_double(values_of(w));
    return Flops(2 * columns * as_double(w.batch) * as_double(w.heads) * attention_pairs(w));
  }
  Flops operator()(const MemoryWork&) const { return Flops(0); }
};

struct BytesOf {
  Bytes operator()(const GemmWork& w) const { return gemm_bytes(w); }
  Bytes operator()(const AttentionWork& w) const { return attention_bytes(w); }
  Bytes operator()(const MemoryWork& w) const { return w.read + w.written; }
};

}  // namespace

double attention_pairs(const AttentionWork& w) {
  const double queries = as_double(w.length);
  const double keys = as_double(keys_of(w));
  if (!w.causal) return queries * keys;
  const double diagonal = std::min(queries, keys);
  return queries >= keys ? diagonal * diagonal / 2
                         : queries * (keys - queries) + diagonal * diagonal / 2;
}

Flops flops(const KernelWork& w) { return std::visit(FlopsOf{}, w); }
Bytes bytes(const KernelWork& w) { return std::visit(BytesOf{}, w); }

}  // namespace rehearse
