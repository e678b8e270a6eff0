// Flows that turn up one by one against the engine's replay of a graph of them, and guards.

#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "sim/engine/flow_schedule.hpp"
#include "sim/engine/replay.hpp"

namespace rehearse {
namespace {

using Id = FlowSchedule::Id;
using Ready = FlowSchedule::Ready;

std::vector<Transfer> transfers_over(std::uint32_t links, std::mt19937& random) {
  std::vector<Transfer> out;
  for (int t = 0; t < 6; ++t) {
    const auto link = static_cast<LinkId>(random() % links);
    Transfer transfer{0.25 * static_cast<double>(1 + random() % 4), {{link, 1}}};
    if (random() % 2 == 0) transfer.crossings.push_back({(link + 1) % links, 0.5});
    out.push_back(transfer);
  }
  return out;
}

TEST_CASE("flows end when the engine's tasks do") {
  constexpr std::uint32_t kLinks = 3, kLanes = 5;
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    const std::vector<Transfer> transfers = transfers_over(kLinks, random);
    FlowSchedule flows(transfers, kLinks, kLanes);
    TaskGraphBuilder builder;
    for (std::uint32_t l = 0; l < kLinks; ++l) builder.add_link();
    for (const Transfer& t : transfers) builder.add_transfer(t);
    for (std::uint32_t l = 0; l < kLanes; ++l) builder.add_stream(l, StreamClass::kIndependent);
    std::vector<std::pair<Id, TaskId>> both;
    for (int f = 0; f < 40; ++f) {
      const auto lane = static_cast<std::uint32_t>(random() % kLanes);
      Ready ready{static_cast<std::int64_t>(random() % 5000), FlowSchedule::kNone, 0};
      const std::int64_t time = static_cast<std::int64_t>(random() % 1000);
      const TaskId begin = builder.add_task(kNoStream, SimTime(ready.at));
      const bool follows = !both.empty() && random() % 3 == 0;
      const auto& other = follows ? both[random() % both.size()] : std::pair<Id, TaskId>{};
      TaskId later = 0;
      if (follows) {
        ready.after = other.first;
        ready.plus = static_cast<std::int64_t>(random() % 100);
        later = builder.add_task(kNoStream, SimTime(ready.plus));
        builder.add_edge(other.second, later);
      }
      const TaskId task = builder.add_task(lane, SimTime(time));
      builder.add_edge(begin, task);
      if (follows) builder.add_edge(later, task);
      const auto transfer = static_cast<TransferId>(random() % transfers.size());
      builder.set_transfer(task, transfer);
      both.emplace_back(flows.add(lane, ready, time, transfer), task);
    }
    while (flows.next()) {
    }
    const Timeline times = replay(std::move(builder).freeze());
    CHECK_FALSE(flows.late());
    for (const auto& [flow, task] : both) {
      REQUIRE(flows.ended(flow));
      CHECK(flows.end(flow) == times.end[task].ps);
    }
  }
}

TEST_CASE("a guard stands until something comes over its links") {
  const std::vector<Transfer> transfers{{1, {{0, 1}}}, {1, {{1, 1}}}};
  FlowSchedule flows(transfers, 2, 4);
  const Id first = flows.guard(0, 0, 100, 0), elsewhere = flows.guard(1, 0, 300, 1);
  flows.add(2, {150, FlowSchedule::kNone, 0}, 20, 0);
  auto event = flows.next();
  REQUIRE(event);
  CHECK(event->id == first);
  CHECK_FALSE(event->broken);
  CHECK(flows.now() == 100);
  const Id second = flows.guard(0, 120, 400, 0);
  event = flows.next();
  REQUIRE(event);
  CHECK(event->id == second);
  CHECK(event->broken);
  CHECK(flows.now() == 150);
  // What was under way then has been alone since it began, and shares from now on.
  const Id running = flows.add_running(3, 130, 40, 0);
  while ((event = flows.next()) && event->id != running) {
  }
  CHECK(flows.now() == 190);
  event = flows.next();
  REQUIRE(event);
  CHECK(event->id == elsewhere);
  CHECK_FALSE(event->broken);
  CHECK(flows.now() == 300);
  CHECK_FALSE(flows.next());
}

TEST_CASE("what depends on a promise starts when that is fulfilled") {
  const std::vector<Transfer> transfers{{1, {{0, 1}}}};
  FlowSchedule flows(transfers, 1, 2);
  const Id promise = flows.promise(0);
  const Id flow = flows.add(1, {0, promise, 5}, 10, 0);
  CHECK_FALSE(flows.next());
  flows.fulfil(promise, 50);
  REQUIRE(flows.next());
  CHECK(flows.start(flow) == 55);
  CHECK(flows.end(flow) == 65);
}

TEST_CASE("a flow that could have started earlier is noticed") {
  const std::vector<Transfer> transfers{{1, {{0, 1}}}};
  FlowSchedule flows(transfers, 1, 2);
  flows.add(0, {100, FlowSchedule::kNone, 0}, 10, 0);
  REQUIRE(flows.next());
  CHECK_FALSE(flows.late());
  flows.add(1, {90, FlowSchedule::kNone, 0}, 10, 0);
  CHECK(flows.late());
}

}  // namespace
}  // namespace rehearse
