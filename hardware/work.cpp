#include "hardware/work.hpp"

#include <algorithm>

namespace rehearse {

namespace {

constexpr std::int64_t kLogSumExpBytes = 4;  // one fp32 a query and head

double as_double(std::int64_t v) { return static_cast<double>(v); }

std::int64_t keys_of(const AttentionWork& w) { return w.kv_length > 0 ? w.kv_length : w.length; }

Bytes gemm_bytes(const GemmWork& w) {
  const std::int64_t in = (w.m * w.k + w.n * w.k) * size_of(w.dtype).value;
  const std::int64_t out = w.m * w.n * size_of(w.out).value * (w.accumulate ? 2 : 1);
  const std::int64_t bias = w.bias ? w.n * size_of(w.out).value : 0;
  return Bytes(w.batch * (in + out + bias));
}

// Backward reads q, k, v, o, do and the log-sum-exp and writes dq, dk, dv; forward reads q, k, v
// and writes o and the log-sum-exp.
Bytes attention_bytes(const AttentionWork& w) {
  const bool backward = w.direction == AttentionDirection::kBackward;
  const std::int64_t size = size_of(w.dtype).value;
  const std::int64_t query = w.batch * w.heads * w.length * w.head_size * size;
  const std::int64_t key = w.batch * w.kv_heads * keys_of(w) * w.head_size * size;
  const std::int64_t statistic = w.batch * w.heads * w.length * kLogSumExpBytes;
  return Bytes((backward ? 4 : 2) * (query + key) + statistic);
}

struct FlopsOf {
  Flops operator()(const GemmWork& w) const {
    return Flops(2 * as_double(w.batch) * as_double(w.m) * as_double(w.n) * as_double(w.k));
  }
  Flops operator()(const AttentionWork& w) const {
    const double products = w.direction == AttentionDirection::kBackward ? 5 : 2;
    return Flops(2 * products * as_double(w.batch) * as_double(w.heads) * as_double(w.head_size) *
                 attention_pairs(w));
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
