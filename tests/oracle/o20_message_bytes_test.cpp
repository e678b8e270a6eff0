#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O20. Between two neighbouring stages every micro-batch's activations go forward once and their
// gradients come back once: in two bytes, 2 B L D each way for B sequences of L tokens in a step.
// With v chunks a rank every boundary between ranks is crossed v times, and the last rank sends to
// the first v - 1 times.

using namespace rehearse;
using namespace rehearse::test;

namespace {

constexpr int kRanks = 4, kMicroBatches = 8, kMicroBatchSize = 2;
constexpr std::int64_t kLength = 64, kHidden = 64;
constexpr std::int64_t kOnce = 2 * kMicroBatches * kMicroBatchSize * kLength * kHidden;  // 2 B L D

Simulation run(const char* schedule, int v) {
  Ideal ideal;
  ideal.model = tiny_model(kRanks * v, kHidden);
  ideal.gpus = kRanks;
  ideal.training = fmt::format("sequence_length: {}, micro_batch_size: {}, global_batch_size: {}",
                               kLength, kMicroBatchSize, kMicroBatches * kMicroBatchSize);
  ideal.plan =
      fmt::format("pipeline_parallel: {}, schedule: {}, virtual_stages: {}", kRanks, schedule, v);
  return simulate(ideal);
}

}  // namespace

TEST_CASE("o20: 2BLD each way over every boundary") {
  for (const char* schedule : {"gpipe", "1f1b"}) {
    const auto bytes = message_bytes(run(schedule, 1).program);
    CHECK(bytes.size() == 2 * (kRanks - 1));
    for (int r = 0; r + 1 < kRanks; ++r) {
      CHECK(bytes.at({r, r + 1}) == kOnce);
      CHECK(bytes.at({r + 1, r}) == kOnce);
    }
  }
}

TEST_CASE("o20: interleaving crosses every boundary v times") {
  for (const int v : {2, 3}) {
    const auto bytes = message_bytes(run("interleaved-1f1b", v).program);
    for (int r = 0; r + 1 < kRanks; ++r) {
      CHECK(bytes.at({r, r + 1}) == v * kOnce);
      CHECK(bytes.at({r + 1, r}) == v * kOnce);
    }
    CHECK(bytes.at({kRanks - 1, 0}) == (v - 1) * kOnce);
    CHECK(bytes.at({0, kRanks - 1}) == (v - 1) * kOnce);
  }
}

// The report is of the slowest rank, the first one: it sends 2 B L D, and receives as much.
TEST_CASE("o20: the report counts what the slowest rank sends and receives") {
  const Communicated t = communicated(run("1f1b", 1), "send_recv", "pp");
  CHECK(t.count == 2 * kMicroBatches);
  CHECK(t.payload == 2 * kOnce);
  CHECK(t.wire == kOnce);
}
