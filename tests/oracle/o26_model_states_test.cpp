#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O26. Model states a rank, with Psi parameters over N data-parallel ranks: fp16 parameters 2 Psi,
// fp16 gradients 2 Psi, and Adam's fp32 copy, mean and variance K Psi, K = 12. ZeRO (Rajbhandari et
// al. 2020, figure 1) cuts first the optimizer's, then gradients, then parameters:
//   (2 + 2 + K) Psi,  (4 + K/N) Psi,  2 Psi + (2 + K) Psi/N,  (4 + K) Psi/N.
// With fp32 gradients (Megatron) 18 bytes a parameter, with its distributed optimizer 6 + 12/N.
//
// FSDP's ZeRO 2 (resharding after backward alone) gathers the parameters beside the share of them
// that it keeps, which the paper's does not have: 2 Psi/N more.

using namespace rehearse;
using namespace rehearse::test;

namespace {

const char* const kFp16Gradients =
    "{parameters: bf16, compute: bf16, gradients: bf16, reduce: bf16, optimizer_states: fp32, "
    "master_weights: true}";
// Even shares of ZeRO 1's states, where eager PyTorch gives whole parameters to owners.
const char* const kEvenShares = "{name: pytorch-eager, behaviour: {whole_parameter_shards: false}}";

struct States {
  std::int64_t parameters = 0, gradients = 0, optimizer = 0;
  std::int64_t total() const { return parameters + gradients + optimizer; }
};

struct Run {
  std::int64_t psi = 0;
  States states;
};

// Parameters as backward finds them, gradients as the optimizer does.
Run run(int zero, int n, int layers, int hidden, const std::string& precision) {
  Ideal ideal;
  ideal.model = tiny_model(layers, hidden);
  ideal.gpus = n;
  ideal.training = micro_batches(1, n) + ", precision: " + precision;
  ideal.plan = fmt::format("zero_stage: {}", zero);
  ideal.runtime = kEvenShares;
  const Simulation s = simulate(ideal);
  const RankProgram& rank = s.program.ranks.front();
  Run out{s.report.parameters,
          {rank.parameters.value, rank.persistent_gradients.value, rank.optimizer_states.value}};
  bool backward = false;
  replay_memory(s.program, rank, [&](const Step& step, const Live& before, const Live&) {
    const auto* segment = std::get_if<RunSegment>(&step.work);
    if (!backward && segment && s.program.segments[segment->segment].name == "head backward") {
      backward = true;
      if (zero == 2)
        out.states.parameters += before[static_cast<std::size_t>(MemoryCategory::kTemporary)];
    }
    const auto* kernel = std::get_if<RunKernel>(&step.work);
    if (kernel && kernel->activity == Activity::kOptimizer)
      out.states.gradients += before[static_cast<std::size_t>(MemoryCategory::kGradients)];
  });
  CHECK(backward);
  return out;
}

}  // namespace

TEST_CASE("o26: bytes of model states under ZeRO 0 to 3") {
  for (const int n : {2, 4}) {
    for (int zero = 0; zero <= 3; ++zero) {
      const auto [psi, s] = run(zero, n, 3, 512, kFp16Gradients);
      CAPTURE(n, zero);
      CHECK(s.parameters == (zero < 2 ? 2 * psi : zero == 2 ? 2 * psi + 2 * psi / n : 2 * psi / n));
      CHECK(s.gradients == (zero < 2 ? 2 * psi : 2 * psi / n));
      CHECK(s.optimizer == (zero < 1 ? 12 * psi : 12 * psi / n));
    }
  }
}

// 16 layers of 7 h^2 + 2 h with h = 8192: 7.5 B, over 64 ranks.
TEST_CASE("o26: 7.5 billion parameters over 64 ranks: 120, 31.4, 16.6 and 1.9 GB") {
  const double published[] = {120, 31.4, 16.6, 1.9};
  for (int zero = 0; zero <= 3; ++zero) {
    const auto [psi, s] = run(zero, 64, 16, 8192, kFp16Gradients);
    const double shard_beside = zero == 2 ? 2 * 7.5 / 64 : 0;
    CAPTURE(zero);
    CHECK(static_cast<double>(psi) == Approx(7.5e9).epsilon(0.0025));
    const double gigabytes =
        static_cast<double>(s.total()) * 1e-9 * 7.5e9 / static_cast<double>(psi);
    CHECK(gigabytes - shard_beside == Approx(published[zero]).margin(0.06));
  }
}

TEST_CASE("o26: fp32 gradients make 18 bytes a parameter, 6 + 12/N with the states cut") {
  const auto [psi, whole] = run(0, 4, 3, 512, "mixed");
  CHECK(whole.total() == 18 * psi);
  const States cut = run(1, 4, 3, 512, "mixed").states;
  CHECK(cut.total() == 6 * psi + 12 * psi / 4);
}
