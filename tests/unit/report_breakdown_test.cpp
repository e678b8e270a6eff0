#include <catch2/catch.hpp>
#include <stdexcept>
#include <vector>

#include "tests/unit/report_fixture.hpp"

using namespace rehearse;
using rehearse::test::ReportGraph;

TEST_CASE("busy time of the compute stream goes by activity", "[report][breakdown]") {
  ReportGraph g;
  const auto d = g.device(0);
  g.task(d.compute, Activity::kForward, 10);
  g.task(d.compute, Activity::kRecompute, 3);
  g.task(d.compute, Activity::kBackward, 20);
  g.communicate(d.compute, Activity::kCollective, 5, g.collective("all_reduce", "tp", 64, 96));
  g.task(d.compute, Activity::kOptimizer, 7);
  g.run();
  const StepParts parts = g.account().parts;
  CHECK(parts.compute.ps == 33);
  CHECK(parts.exposed_communication.ps == 5);
  CHECK(parts.optimizer.ps == 7);
  CHECK(parts.host.ps == 0);
  CHECK(parts.pipeline_bubble.ps == 0);
}

TEST_CASE("a kernel that waits to be issued waits for the host", "[report][breakdown]") {
  ReportGraph g;
  const auto d = g.device(0);
  const TaskId issue_a = g.task(d.host, Activity::kHost, 4);
  const TaskId issue_b = g.task(d.host, Activity::kHost, 6);
  g.task(d.compute, Activity::kForward, 1, {issue_a});
  g.task(d.compute, Activity::kForward, 1, {issue_b});
  g.run();
  // Kernels run at [4, 5) and [10, 11): 4 + 5 picoseconds of gaps.
  const StepParts parts = g.account().parts;
  CHECK(parts.host.ps == 9);
  CHECK(parts.compute.ps == 2);
}

TEST_CASE("joins are looked through to the collective behind them", "[report][breakdown]") {
  ReportGraph g;
  const auto d = g.device(0);
  const std::int32_t gather = g.collective("all_gather", "dp", 80, 60);
  const TaskId a = g.task(d.compute, Activity::kForward, 5);
  const TaskId start = g.join(0, {a});
  const TaskId c = g.communicate(d.communication, Activity::kCollective, 8, gather, {start});
  const TaskId met = g.join(0, {c});
  g.task(d.compute, Activity::kForward, 5, {met});
  g.run();
  const StepAccount account = g.account();
  CHECK(account.parts.exposed_communication.ps == 8);
  CHECK(account.parts.compute.ps == 10);
  REQUIRE(account.communication.size() == 1);
  CHECK(account.communication[0].exposed == Seconds(8e-12));
}

TEST_CASE("only the part of a collective that compute waits for is exposed",
          "[report][breakdown]") {
  ReportGraph g;
  const auto d = g.device(0);
  const std::int32_t reduce = g.collective("all_reduce", "dp", 80, 120);
  const TaskId a = g.task(d.compute, Activity::kBackward, 5);
  const TaskId c = g.communicate(d.communication, Activity::kCollective, 20, reduce, {a});
  g.task(d.compute, Activity::kBackward, 14, {a});
  g.task(d.compute, Activity::kOptimizer, 2, {c});
  g.run();
  // The collective runs in [5, 25), compute until 19.
  const StepAccount account = g.account();
  CHECK(account.parts.exposed_communication.ps == 6);
  REQUIRE(account.communication.size() == 1);
  CHECK(account.communication[0].time == Seconds(20e-12));
  CHECK(account.communication[0].exposed == Seconds(6e-12));
}

TEST_CASE("a collective that its host issued late is the host's until it starts",
          "[report][breakdown]") {
  ReportGraph g;
  const auto d = g.device(0);
  const TaskId issue = g.task(d.host, Activity::kHost, 10);
  const TaskId c = g.communicate(d.communication, Activity::kCollective, 4,
                                 g.collective("all_gather", "dp", 8, 6), {issue});
  g.task(d.compute, Activity::kForward, 3, {c});
  g.run();
  const StepParts parts = g.account().parts;
  CHECK(parts.host.ps == 10);
  CHECK(parts.exposed_communication.ps == 4);
}

TEST_CASE("a receive is a bubble until its transfer starts", "[report][breakdown]") {
  ReportGraph g;
  const auto sender = g.device(0, 0);
  const auto receiver = g.device(1, 1);
  const std::int32_t p2p = g.collective("send_recv", "pp", 10, 10);
  const TaskId forward = g.task(sender.compute, Activity::kForward, 100);
  const TaskId start = g.join(0, {forward});
  g.communicate(sender.communication, Activity::kSend, 7, p2p, {start});
  const TaskId received =
      g.communicate(receiver.communication, Activity::kReceive, 7, p2p, {start});
  g.task(receiver.compute, Activity::kForward, 100, {received});
  g.run();
  REQUIRE(g.window().device == receiver.id);
  const StepParts parts = g.account().parts;
  CHECK(parts.pipeline_bubble.ps == 100);
  CHECK(parts.exposed_communication.ps == 7);
  CHECK(parts.compute.ps == 100);
}

TEST_CASE("a host that waits for a message takes what it ran, and the rest is a bubble",
          "[report][breakdown]") {
  ReportGraph g;
  const auto sender = g.device(0, 0);
  const auto receiver = g.device(1, 1);
  const std::int32_t p2p = g.collective("send_recv", "pp", 10, 10);
  const TaskId forward = g.task(sender.compute, Activity::kForward, 100);
  const TaskId start = g.join(0, {forward});
  const TaskId received =
      g.communicate(receiver.communication, Activity::kReceive, 7, p2p, {start});
  const TaskId issue = g.task(receiver.host, Activity::kHost, 3, {received});
  g.task(receiver.compute, Activity::kForward, 50, {issue});
  g.run();
  REQUIRE(g.window().device == receiver.id);
  const StepParts parts = g.account().parts;
  CHECK(parts.pipeline_bubble.ps == 100);
  CHECK(parts.exposed_communication.ps == 7);
  CHECK(parts.host.ps == 3);
}

TEST_CASE("a pure delay between stages is communication, the wait before it a bubble",
          "[report][breakdown]") {
  ReportGraph g;
  const auto first = g.device(0, 0);
  const auto second = g.device(1, 1);
  const TaskId forward = g.task(first.compute, Activity::kForward, 30);
  const TaskId delay = g.join(4, {forward});
  g.task(second.compute, Activity::kForward, 30, {delay});
  g.run();
  const StepParts parts = g.account().parts;
  CHECK(parts.pipeline_bubble.ps == 30);
  CHECK(parts.exposed_communication.ps == 4);
}

TEST_CASE("a collective that waits for a slower rank is exposed communication",
          "[report][breakdown]") {
  ReportGraph g;
  const auto fast = g.device(0);
  const auto slow = g.device(1);
  const std::int32_t reduce = g.collective("all_reduce", "dp", 8, 8);
  const TaskId a = g.task(fast.compute, Activity::kBackward, 10);
  const TaskId b = g.task(slow.compute, Activity::kBackward, 15);
  const TaskId meet = g.join(0, {a, b});
  const TaskId c = g.communicate(fast.communication, Activity::kCollective, 3, reduce, {meet});
  g.task(fast.compute, Activity::kOptimizer, 2, {c});
  g.run();
  REQUIRE(g.window().device == fast.id);
  const StepParts parts = g.account().parts;
  CHECK(parts.exposed_communication.ps == 8);
  CHECK(parts.pipeline_bubble.ps == 0);
}

TEST_CASE("communication after the last kernel is exposed", "[report][breakdown]") {
  ReportGraph g;
  const auto d = g.device(0);
  const TaskId a = g.task(d.compute, Activity::kBackward, 10);
  g.communicate(d.communication, Activity::kCollective, 6, g.collective("all_reduce", "dp", 8, 8),
                {a});
  g.run();
  const StepParts parts = g.account().parts;
  CHECK(parts.total().ps == 16);
  CHECK(parts.exposed_communication.ps == 6);
}

TEST_CASE("of waits that end at once a host that takes no time is the last to blame",
          "[report][breakdown]") {
  ReportGraph g;
  const auto d = g.device(0);
  const TaskId a = g.task(d.compute, Activity::kForward, 2);
  const TaskId c = g.communicate(d.communication, Activity::kCollective, 9,
                                 g.collective("all_gather", "dp", 8, 6), {a});
  const TaskId issue = g.task(d.host, Activity::kHost, 0, {c});
  g.task(d.compute, Activity::kForward, 2, {c, issue});
  g.run();
  CHECK(g.account().parts.exposed_communication.ps == 9);
}

TEST_CASE("a merged task is split as its share says", "[report][breakdown]") {
  ReportGraph g;
  const auto d = g.device(0);
  const std::int32_t reduce = g.collective("all_reduce", "tp", 100, 150);
  SegmentShare share;
  share.parts_ps = {{Activity::kForward, 60}, {Activity::kCollective, 30}};
  share.collectives = {{reduce, 2, 30}};
  g.notes.shares.push_back(share);

  SECTION("as long as its parts") {
    const TaskId t = g.task(d.compute, Activity::kForward, 90);
    g.notes.tasks[t].share = 0;
    g.run();
    const StepAccount account = g.account();
    CHECK(account.parts.compute.ps == 60);
    CHECK(account.parts.exposed_communication.ps == 30);
    REQUIRE(account.communication.size() == 1);
    CHECK(account.communication[0].count == 2);
    CHECK(account.communication[0].payload == Bytes(200));
    CHECK(account.communication[0].wire_bytes_per_rank == Bytes(300));
    CHECK(account.communication[0].exposed == Seconds(30e-12));
  }
  SECTION("longer: the rest waited for the host") {
    const TaskId t = g.task(d.compute, Activity::kForward, 100);
    g.notes.tasks[t].share = 0;
    g.run();
    const StepParts parts = g.account().parts;
    CHECK(parts.compute.ps == 60);
    CHECK(parts.exposed_communication.ps == 30);
    CHECK(parts.host.ps == 10);
  }
}

TEST_CASE("the window is the last step of the device that ends last", "[report][window]") {
  ReportGraph g;
  const auto a = g.device(4);
  const auto b = g.device(2);
  g.task(a.compute, Activity::kForward, 10);
  g.task(b.compute, Activity::kForward, 12);
  g.step = 1;
  g.task(a.compute, Activity::kForward, 30);
  g.task(b.compute, Activity::kForward, 20);
  g.run();
  const StepWindow window = g.window();
  CHECK(window.device == a.id);
  CHECK(window.begin == SimTime(10));
  CHECK(window.end == SimTime(40));
}

TEST_CASE("of devices that end together the lowest rank is reported", "[report][window]") {
  ReportGraph g;
  const auto a = g.device(4);
  const auto b = g.device(2);
  g.task(a.compute, Activity::kForward, 10);
  g.task(b.compute, Activity::kForward, 10);
  g.run();
  CHECK(g.window().device == b.id);
}

TEST_CASE("work of the next step that runs before the window counts in neither",
          "[report][window]") {
  ReportGraph g;
  const auto d = g.device(0);
  const TaskId a = g.task(d.compute, Activity::kForward, 10);
  g.communicate(d.communication, Activity::kCollective, 5, g.collective("all_gather", "dp", 8, 6),
                {a});
  g.step = 1;
  g.task(d.compute, Activity::kForward, 10, {a});
  g.run();
  // The first step ends with its communication, at 15; by then compute has run for 5 more.
  CHECK(g.window().begin == SimTime(15));
  CHECK(g.account().parts.compute.ps == 5);
}

// GPipe with p stages, m micro-batches and free communication: T = (m + p - 1)(tf + tb) and every
// device is idle for (p - 1)(tf + tb) of it, so the bubble is (p - 1) / (m + p - 1) of the total
// and (p - 1) / m of the ideal.
TEST_CASE("the bubble of a pipeline is named by both conventions", "[report][breakdown]") {
  constexpr int kStages = 4;
  constexpr int kMicroBatches = 8;
  constexpr std::int64_t kForwardPs = 1000;
  constexpr std::int64_t kBackwardPs = 2000;
  ReportGraph g;
  std::vector<ReportGraph::Device> devices;
  for (int s = 0; s < kStages; ++s) devices.push_back(g.device(s, s));
  std::vector<TaskId> before(kMicroBatches);
  for (int s = 0; s < kStages; ++s) {
    for (auto& previous : before) {
      const StreamId stream = devices[static_cast<std::size_t>(s)].compute;
      previous = s == 0 ? g.task(stream, Activity::kForward, kForwardPs)
                        : g.task(stream, Activity::kForward, kForwardPs, {g.join(0, {previous})});
    }
  }
  for (int s = kStages - 1; s >= 0; --s) {
    for (auto& previous : before) {
      previous = g.task(devices[static_cast<std::size_t>(s)].compute, Activity::kBackward,
                        kBackwardPs, {g.join(0, {previous})});
    }
  }
  g.run();
  REQUIRE(g.window().end.ps == (kMicroBatches + kStages - 1) * (kForwardPs + kBackwardPs));
  const StepParts parts = g.account().parts;
  CHECK(parts.pipeline_bubble.ps == (kStages - 1) * (kForwardPs + kBackwardPs));
  const Breakdown b = breakdown(g.graph, g.timeline, g.notes, g.window());
  CHECK(bubble_over_total(b) == Approx(3.0 / 11).epsilon(1e-12));
  CHECK(bubble_over_ideal(b) == Approx(3.0 / 8).epsilon(1e-12));
}

TEST_CASE("communication is summed by operation and group, longest first",
          "[report][communication]") {
  ReportGraph g;
  const auto d = g.device(0);
  const std::int32_t small = g.collective("all_reduce", "dp", 10, 15);
  const std::int32_t large = g.collective("all_reduce", "dp", 100, 150);
  const std::int32_t p2p = g.collective("send_recv", "pp", 7, 7);
  g.communicate(d.communication, Activity::kCollective, 1, small);
  g.communicate(d.communication, Activity::kCollective, 3, large);
  g.communicate(d.communication, Activity::kSend, 20, p2p);
  g.communicate(d.communication, Activity::kReceive, 20, p2p);
  g.run();
  const auto rows = communication_table(g.graph, g.timeline, g.notes, g.window());
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].operation == "send_recv");
  CHECK(rows[0].count == 2);
  CHECK(rows[0].payload == Bytes(14));
  CHECK(rows[0].wire_bytes_per_rank == Bytes(7));  // what is received was sent by another
  CHECK(rows[1].group == "dp");
  CHECK(rows[1].count == 2);
  CHECK(rows[1].payload == Bytes(110));
  CHECK(rows[1].wire_bytes_per_rank == Bytes(165));
  CHECK(rows[1].time == Seconds(4e-12));
}

TEST_CASE("only the last step's communication is counted", "[report][communication]") {
  ReportGraph g;
  const auto d = g.device(0);
  const std::int32_t reduce = g.collective("all_reduce", "dp", 10, 15);
  g.communicate(d.communication, Activity::kCollective, 1, reduce);
  g.step = 1;
  g.communicate(d.communication, Activity::kCollective, 1, reduce);
  g.run();
  const auto rows = communication_table(g.graph, g.timeline, g.notes, g.window());
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].count == 1);
}

TEST_CASE("annotations of another graph are a bug, not a report", "[report][breakdown]") {
  ReportGraph g;
  const auto d = g.device(0);
  g.task(d.compute, Activity::kForward, 1);
  g.run();
  g.notes.tasks.clear();
  CHECK_THROWS_AS(g.window(), std::logic_error);
}
