#include <array>
#include <string>
#include <vector>

#include "sim/config/sections.hpp"

namespace rehearse {

namespace {

ExpertLoad read_expert_load(Reader r) {
  static const std::vector<std::string> kDistributions{"uniform", "zipf"};
  ExpertLoad load;
  load.distribution = static_cast<LoadDistribution>(r.choice("distribution", kDistributions, 0));
  load.exponent = r.optional<double>("exponent", load.exponent);
  if (load.exponent < 0) r.error("exponent", "expected an exponent of at least 0");
  load.seed = r.optional<std::int64_t>("seed", load.seed);
  r.finish();
  return load;
}

}  // namespace

Training read_training(Reader& r) {
  static const std::vector<std::string> kRecompute(std::begin(kRecomputeNames),
                                                   std::end(kRecomputeNames));
  static const std::vector<std::string> kOptimizers{"adamw", "sgd"};
  static const std::vector<std::string> kAttention{"flash", "unfused"};
  static const std::vector<std::string> kBatches{"fresh", "repeated"};
  Training t;
  t.sequence_length = r.required_count("sequence_length");
  t.micro_batch_size = r.required_count("micro_batch_size");
  t.global_batch_size = r.required_count("global_batch_size");
  t.precision = read_precision(r);
  t.recompute = static_cast<Recompute>(r.choice("recompute", kRecompute, 0));
  t.optimizer = static_cast<OptimizerKind>(r.choice("optimizer", kOptimizers, 0));
  t.attention = static_cast<AttentionKind>(r.choice("attention", kAttention, 0));
  t.dropout = r.optional<double>("dropout", 0);
  t.causal = r.optional<bool>("causal", true);
  t.repeats_batch = r.choice("batches", kBatches, 0) == 1;
  t.expert_load = read_expert_load(r.child("expert_load"));
  t.fine_tuning = read_fine_tuning(r);

  if (t.global_batch_size % t.micro_batch_size != 0) {
    r.error("global_batch_size", std::to_string(t.global_batch_size) +
                                     " sequences do not divide into micro-batches of " +
                                     std::to_string(t.micro_batch_size));
  }
  if (t.dropout < 0 || t.dropout >= 1) {
    r.error("dropout", "expected a probability of at least 0 and below 1, got '" +
                           r.raw("dropout").as_scalar().text + "'");
  }
  return t;
}

}  // namespace rehearse
