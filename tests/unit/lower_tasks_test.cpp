// From a program to tasks: who waits for whom.

#include <catch2/catch.hpp>
#include <numeric>

#include "sim/engine/replay.hpp"
#include "strategies/lower.hpp"
#include "strategies/priced_segment.hpp"
#include "tests/unit/strategy_fixture.hpp"

namespace rehearse {
namespace {

Run run(std::int64_t duration, std::int64_t host, std::int64_t latest) {
  Run r;
  r.duration = duration;
  r.host = host;
  r.latest = latest;
  return r;
}

// end = max(S + D, H + E)
std::int64_t end(const Run& r, std::int64_t stream, std::int64_t host) {
  return std::max(stream + r.duration, host + r.latest);
}

TEST_CASE("runs one after the other are the run of both") {
  const Run a = run(10, 4, 14), b = run(3, 20, 23), c = run(50, 1, 51);
  for (std::int64_t stream : {0, 5, 100})
    for (std::int64_t host : {0, 7, 90}) {
      const std::int64_t after_a = end(a, stream, host);
      CHECK(end(a.then(b), stream, host) == end(b, after_a, host + a.host));
      CHECK(end(a.then(b).then(c), stream, host) == end(a.then(b.then(c)), stream, host));
    }
}

// A program of ranks that one writes by hand; `peer` of a message is the index of a rank:
// all are of one pipeline.
Program ranks(std::vector<std::vector<StepWork>> steps) {
  Program p;
  p.positions = 1;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    RankProgram r;
    r.rank = static_cast<int>(i);
    r.pipeline_rank = static_cast<int>(i);
    r.groups.assign(kGroupKinds, {static_cast<std::int32_t>(i)});
    auto& pipeline = r.groups[static_cast<std::size_t>(GroupKind::kPipeline)];
    pipeline.resize(steps.size());
    std::iota(pipeline.begin(), pipeline.end(), 0);
    r.events = 8;
    for (StepWork& work : steps[i]) {
      Step s;
      s.work = std::move(work);
      s.chunk = static_cast<int>(i);
      s.micro_batch = 0;
      r.steps.push_back(std::move(s));
    }
    p.ranks.push_back(std::move(r));
  }
  return p;
}

Cluster ideal_cluster() {
  BuildText text;
  text.gpus = 4;
  return idealised(build(text).cluster);
}

// 4.8 TB/s: 4.8 MB take a microsecond.
StepWork kernel(double microseconds, StreamKind stream = StreamKind::kCompute) {
  MemoryWork w;
  w.kernel_class = "vectorized";
  w.read = Bytes(static_cast<std::int64_t>(4'800'000 * microseconds));
  w.elements = 1;
  return RunKernel{{w, 0}, stream, Activity::kForward, 0};
}

double microseconds(const Program& p) {
  LowerOptions options;
  options.steps = 1;
  const Lowered l = lower(p, ideal_cluster(), options);
  return static_cast<double>(simulate(l.graph).makespan.ps) * 1e-6;
}

TEST_CASE("kernels of one stream run one after the other") {
  CHECK(microseconds(ranks({{kernel(3), kernel(4)}})) == Approx(7).epsilon(1e-6));
}

TEST_CASE("kernels of two streams run side by side") {
  CHECK(microseconds(ranks({{kernel(3), kernel(4, StreamKind::kCopy)}})) ==
        Approx(4).epsilon(1e-6));
}

TEST_CASE("a stream that waits for an event starts after what was recorded") {
  CHECK(microseconds(ranks({{kernel(3), Record{0, StreamKind::kCompute}, Wait{0, StreamKind::kCopy},
                             kernel(4, StreamKind::kCopy)}})) == Approx(7).epsilon(1e-6));
}

TEST_CASE("an event holds what was on the stream when it was recorded, and no more") {
  CHECK(microseconds(ranks({{kernel(3), Record{0, StreamKind::kCompute}, kernel(10),
                             Wait{0, StreamKind::kCopy}, kernel(4, StreamKind::kCopy)}})) ==
        Approx(13).epsilon(1e-6));
}

// 1 us of latency, and 450 KB at 450 GB/s: 1 us.
TEST_CASE("a receiver's compute stream waits for the message") {
  const Bytes message(450'000);
  const Program p =
      ranks({{kernel(5), Record{0, StreamKind::kCompute}, Wait{0, StreamKind::kSendNext},
              Send{1, 7, message, StreamKind::kSendNext}},
             {kernel(1), Receive{0, 7, message}, kernel(2)}});
  CHECK(microseconds(p) == Approx(5 + 1 + 1 + 2).epsilon(1e-6));
}

TEST_CASE("messages are told apart by their tags") {
  const Bytes message(450'000);
  const Program p = ranks(
      {{Send{1, 1, message, StreamKind::kSendNext}, Send{1, 2, message, StreamKind::kSendNext}},
       {Receive{0, 2, message}, Receive{0, 1, message}, kernel(2)}});
  CHECK(microseconds(p) == Approx(1 + 1 + 1 + 2).epsilon(1e-6));
}

// 450 KB at 450 GB/s: 1 us on the stream, and 1 us of latency.
Step exchange(std::vector<Exchange::Half> halves) {
  Step s;
  s.work = Exchange{std::move(halves)};
  return s;
}

TEST_CASE("an exchange waits for those before it on its stream") {
  const Bytes b(450'000);
  Program p = ranks({{kernel(5), Record{0, StreamKind::kCompute}, Wait{0, StreamKind::kMessages}},
                     {Record{0, StreamKind::kCompute}}});
  p.message_slots = 8;
  p.message_slot = b;
  // Rank 1 receives what rank 0 sends at 5, and only then sends what rank 0 waits for.
  p.ranks[0].steps.push_back(exchange({{true, 1, 1, b}}));
  p.ranks[0].steps.push_back(exchange({{false, 1, 2, b}}));
  p.ranks[1].steps.push_back(exchange({{false, 0, 1, b}}));
  p.ranks[1].steps.push_back(exchange({{true, 0, 2, b}}));
  CHECK(microseconds(p) == Approx(5 + 2 + 2).epsilon(1e-6));
}

TEST_CASE("a sender is ahead of its receiver by the receiver's slots and no more") {
  const Bytes b(450'000);
  for (const int slots : {0, 1, 3}) {
    // Rank 0 sends twice and is then busy for 20; rank 1 receives after 10.
    Program p =
        ranks({{}, {kernel(10), Record{0, StreamKind::kCompute}, Wait{0, StreamKind::kMessages}}});
    p.message_slots = slots;
    p.message_slot = b;
    Step record, wait, busy;
    record.work = Record{0, StreamKind::kMessages};
    wait.work = Wait{0, StreamKind::kCompute};
    busy.work = kernel(20);
    p.ranks[0].events = 1;
    for (const Step& s :
         {exchange({{true, 1, 1, b}}), exchange({{true, 1, 2, b}}), record, wait, busy})
      p.ranks[0].steps.push_back(s);
    p.ranks[1].steps.push_back(exchange({{false, 0, 1, b}}));
    p.ranks[1].steps.push_back(exchange({{false, 0, 2, b}}));
    CAPTURE(slots);
    // No slot: both go with their receives, the second when the first is received. One: the first
    // goes at once, the second when it has been received. Three: both at once.
    const double sent = slots == 0 ? 10 + 2 + 1 : slots == 1 ? 10 + 1 + 1 : 2;
    CHECK(microseconds(p) == Approx(sent + 20).epsilon(1e-6));
  }
}

TEST_CASE("ranks of a group meet in a collective") {
  Program p = ranks({{kernel(1)}, {kernel(6)}});
  p.groups[static_cast<int>(GroupKind::kTensor)] = {2, 1, 2, 1};
  for (RankProgram& r : p.ranks) {
    r.groups[static_cast<int>(GroupKind::kTensor)] = {0, 1};
    Step record, wait, meet, back, last;
    record.work = Record{0, StreamKind::kCompute};
    wait.work = Wait{0, StreamKind::kData};
    meet.work = RunCollective{
        {CollectiveOp::kAllReduce, GroupKind::kTensor, Bytes(450'000)}, StreamKind::kData, 0, 0};
    for (const Step& s : {record, wait, meet}) r.steps.push_back(s);
  }
  // A ring of two: 2 (n - 1) = 2 hops of half the buffer, 0.5 us and 1 us of latency each.
  CHECK(microseconds(p) == Approx(6 + 2 * (1 + 0.5)).epsilon(1e-6));
}

TEST_CASE("ranks that wait for each other for ever are a bug") {
  const Program p =
      ranks({{Receive{1, 1, Bytes(8)}, Send{1, 2, Bytes(8), StreamKind::kSendNext}},
             {Receive{0, 2, Bytes(8)}, Send{0, 1, Bytes(8), StreamKind::kSendPrevious}}});
  CHECK_THROWS_AS(microseconds(p), std::logic_error);
}

TEST_CASE("steps follow each other") {
  const Program p = ranks({{kernel(3)}});
  LowerOptions options;
  options.steps = 3;
  CHECK(static_cast<double>(simulate(lower(p, ideal_cluster(), options).graph).makespan.ps) *
            1e-6 ==
        Approx(9).epsilon(1e-6));
}

}  // namespace
}  // namespace rehearse
