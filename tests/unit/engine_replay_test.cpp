#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "sim/engine/replay.hpp"

using namespace rehearse;

namespace {

// Both engines must say the same of these graphs, none of which interferes.
Timeline run_both(const TaskGraph& graph) {
  Timeline swept = sweep(graph);
  const Timeline replayed = replay(graph);
  CHECK(swept.start == replayed.start);
  CHECK(swept.end == replayed.end);
  CHECK(swept.makespan == replayed.makespan);
  CHECK(swept.events == replayed.events);
  return swept;
}

}  // namespace

TEST_CASE("an empty graph takes no time") {
  const Timeline timeline = run_both(TaskGraphBuilder().freeze());
  CHECK(timeline.makespan == SimTime(0));
  CHECK(timeline.events == 0);
}

TEST_CASE("a stream runs its tasks one at a time in order of id") {
  TaskGraphBuilder builder;
  const StreamId stream = builder.add_stream(0, StreamClass::kForeground);
  builder.add_task(stream, SimTime(10));
  builder.add_task(stream, SimTime(20));
  builder.add_task(stream, SimTime(5));
  const Timeline timeline = run_both(std::move(builder).freeze());
  CHECK(timeline.start == std::vector{SimTime(0), SimTime(10), SimTime(30)});
  CHECK(timeline.end == std::vector{SimTime(10), SimTime(30), SimTime(35)});
}

TEST_CASE("a task that is not ready blocks the later ones of its stream") {
  TaskGraphBuilder builder;
  const StreamId stream = builder.add_stream(0, StreamClass::kForeground);
  const TaskId delay = builder.add_task(kNoStream, SimTime(100));
  const TaskId blocked = builder.add_task(stream, SimTime(10));
  const TaskId behind = builder.add_task(stream, SimTime(1));  // ready at 0, but second
  builder.add_edge(delay, blocked);
  const Timeline timeline = run_both(std::move(builder).freeze());
  CHECK(timeline.start[blocked] == SimTime(100));
  CHECK(timeline.start[behind] == SimTime(110));
}

TEST_CASE("a task starts at the latest end of its predecessors") {
  TaskGraphBuilder builder;
  const TaskId early = builder.add_task(kNoStream, SimTime(3));
  const TaskId late = builder.add_task(kNoStream, SimTime(8));
  const TaskId join = builder.add_task(kNoStream, SimTime(1));
  builder.add_edge(late, join);
  builder.add_edge(early, join);
  const Timeline timeline = run_both(std::move(builder).freeze());
  CHECK(timeline.start[join] == SimTime(8));
  CHECK(timeline.duration(join) == SimTime(1));
}

TEST_CASE("tasks on no stream run side by side") {
  TaskGraphBuilder builder;
  for (int i = 1; i <= 20; ++i) builder.add_task(kNoStream, SimTime(i));
  const Timeline timeline = run_both(std::move(builder).freeze());
  CHECK(timeline.makespan == SimTime(20));
  CHECK(timeline.start == std::vector<SimTime>(20, SimTime(0)));
}

TEST_CASE("a task starts at the very instant at which its stream becomes free") {
  // a ends at 10 on its stream, and so does the delay that b waits for: the end comes first, so b
  // starts at 10 and not after.
  TaskGraphBuilder builder;
  const StreamId stream = builder.add_stream(0, StreamClass::kForeground);
  const TaskId a = builder.add_task(stream, SimTime(10));
  const TaskId delay = builder.add_task(kNoStream, SimTime(10));
  const TaskId b = builder.add_task(stream, SimTime(10));
  builder.add_edge(delay, b);
  const Timeline timeline = run_both(std::move(builder).freeze());
  CHECK(timeline.end[a] == SimTime(10));
  CHECK(timeline.start[b] == SimTime(10));
}

TEST_CASE("of two tasks ready at the same instant the smaller id has the stream first") {
  TaskGraphBuilder builder;
  const StreamId stream = builder.add_stream(0, StreamClass::kForeground);
  const TaskId delay = builder.add_task(kNoStream, SimTime(7));
  const TaskId first = builder.add_task(stream, SimTime(2));
  const TaskId second = builder.add_task(stream, SimTime(2));
  builder.add_edge(delay, second);
  builder.add_edge(delay, first);
  const Timeline timeline = run_both(std::move(builder).freeze());
  CHECK(timeline.start[first] == SimTime(7));
  CHECK(timeline.start[second] == SimTime(9));
}

TEST_CASE("a chain of tasks without duration passes within an instant") {
  TaskGraphBuilder builder;
  const StreamId stream = builder.add_stream(0, StreamClass::kForeground);
  const TaskId work = builder.add_task(stream, SimTime(5));
  const TaskId join = builder.add_task(kNoStream, SimTime(0));
  const TaskId marker = builder.add_task(stream, SimTime(0));
  const TaskId after = builder.add_task(stream, SimTime(4));
  builder.add_edge(work, join);
  builder.add_edge(join, marker);
  const Timeline timeline = run_both(std::move(builder).freeze());
  CHECK(timeline.start[join] == SimTime(5));
  CHECK(timeline.end[join] == SimTime(5));
  CHECK(timeline.start[marker] == SimTime(5));
  CHECK(timeline.start[after] == SimTime(5));
  CHECK(timeline.makespan == SimTime(9));
}

TEST_CASE("a graph of tasks without duration ends at zero") {
  TaskGraphBuilder builder;
  const StreamId stream = builder.add_stream(0, StreamClass::kIndependent);
  for (TaskId t = 0; t < 50; ++t) {
    builder.add_task(t % 2 == 0 ? stream : kNoStream, SimTime(0));
    if (t > 0) builder.add_edge(t - 1, t);
  }
  const Timeline timeline = run_both(std::move(builder).freeze());
  CHECK(timeline.makespan == SimTime(0));
  CHECK(timeline.events == 100);
}

TEST_CASE("a repeated edge means the same as one") {
  TaskGraphBuilder builder;
  const TaskId a = builder.add_task(kNoStream, SimTime(4));
  const TaskId b = builder.add_task(kNoStream, SimTime(4));
  builder.add_edge(a, b);
  builder.add_edge(a, b);
  CHECK(run_both(std::move(builder).freeze()).makespan == SimTime(8));
}

TEST_CASE("an edge along a stream's own order changes nothing") {
  TaskGraphBuilder builder;
  const StreamId stream = builder.add_stream(0, StreamClass::kForeground);
  const TaskId a = builder.add_task(stream, SimTime(4));
  const TaskId b = builder.add_task(stream, SimTime(6));
  builder.add_edge(a, b);
  CHECK(run_both(std::move(builder).freeze()).makespan == SimTime(10));
}

TEST_CASE("a timeline past the range of simulated time is an overflow") {
  TaskGraphBuilder builder;
  const StreamId stream = builder.add_stream(0, StreamClass::kForeground);
  const std::int64_t half = std::numeric_limits<std::int64_t>::max() / 2;
  for (int i = 0; i < 3; ++i) builder.add_task(stream, SimTime(half));
  const TaskGraph graph = std::move(builder).freeze();
  CHECK_THROWS_AS(sweep(graph), std::overflow_error);
  CHECK_THROWS_AS(replay(graph), std::overflow_error);
}
