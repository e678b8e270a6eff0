#include <catch2/catch.hpp>

#include "tests/unit/report_fixture.hpp"

using namespace rehearse;
using rehearse::test::ReportGraph;

TEST_CASE("the critical path follows what each task waited for", "[report][critical_path]") {
  ReportGraph g;
  const auto d = g.device(0);
  const TaskId issue = g.task(d.host, Activity::kHost, 2);
  const TaskId a = g.task(d.compute, Activity::kForward, 10, {issue});
  g.task(d.communication, Activity::kCollective, 3, {issue});  // not on the path
  const TaskId b = g.task(d.compute, Activity::kForward, 5);   // after a by the stream's order
  g.run();
  CHECK(critical_path(g.graph, g.timeline) == std::vector<TaskId>{issue, a, b});
}

TEST_CASE("an empty graph has an empty critical path", "[report][critical_path]") {
  CHECK(critical_path(TaskGraphBuilder().freeze(), Timeline{}).empty());
}

TEST_CASE("memory is drawn where tasks start and end, in the host's order", "[report][memory]") {
  ReportGraph g;
  const auto d = g.device(0);
  const TaskId a = g.task(d.compute, Activity::kForward, 10);
  const TaskId b = g.task(d.compute, Activity::kForward, 10);
  g.notes.memory = {{{a, MemoryCategory::kParameters, 100},
                     {a, MemoryCategory::kActivations, 30},
                     {b, MemoryCategory::kTemporary, 5},
                     {b, MemoryCategory::kActivations, -30}}};
  g.run();
  const auto points = memory_timeline(g.timeline, g.notes, d.id);
  REQUIRE(points.size() == 4);
  CHECK(points[0].at == SimTime(0));
  CHECK(points[1].total() == 130);
  CHECK(points[2].at == SimTime(10));
  CHECK(points[2].total() == 135);
  CHECK(points[3].at == SimTime(20));
  CHECK(points[3].bytes[static_cast<std::size_t>(MemoryCategory::kActivations)] == 0);
  CHECK(points[3].bytes[static_cast<std::size_t>(MemoryCategory::kTemporary)] == 5);
}

TEST_CASE("a change is never drawn before the one that precedes it", "[report][memory]") {
  ReportGraph g;
  const auto d = g.device(0);
  const TaskId a = g.task(d.compute, Activity::kForward, 10);
  const TaskId b = g.task(d.compute, Activity::kForward, 10);
  g.notes.memory = {{{b, MemoryCategory::kTemporary, 1}, {a, MemoryCategory::kTemporary, 1}}};
  g.run();
  const auto points = memory_timeline(g.timeline, g.notes, d.id);
  REQUIRE(points.size() == 2);
  CHECK(points[1].at == SimTime(10));
}

TEST_CASE("a device whose memory was not recorded has no memory timeline", "[report][memory]") {
  ReportGraph g;
  const auto d = g.device(0);
  g.task(d.compute, Activity::kForward, 1);
  g.run();
  CHECK(memory_timeline(g.timeline, g.notes, d.id).empty());
}
