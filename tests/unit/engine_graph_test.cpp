#include <catch2/catch.hpp>
#include <limits>
#include <stdexcept>
#include <vector>

#include "sim/engine/task_graph.hpp"

using namespace rehearse;

namespace {

std::vector<TaskId> to_vector(std::span<const TaskId> ids) { return {ids.begin(), ids.end()}; }

}  // namespace

TEST_CASE("freeze sorts the successors of a task, whatever the order of insertion") {
  TaskGraphBuilder builder;
  for (int i = 0; i < 4; ++i) builder.add_task(kNoStream, SimTime(1));
  builder.add_edge(1, 3);
  builder.add_edge(0, 3);
  builder.add_edge(0, 1);
  builder.add_edge(0, 2);
  const TaskGraph graph = std::move(builder).freeze();
  CHECK(to_vector(graph.successors(0)) == std::vector<TaskId>{1, 2, 3});
  CHECK(to_vector(graph.successors(1)) == std::vector<TaskId>{3});
  CHECK(graph.successors(2).empty());
  CHECK(graph.indegree(3) == 2);
  CHECK(graph.edge_count() == 4);
}

TEST_CASE("an edge added twice counts twice on both of its sides") {
  TaskGraphBuilder builder;
  builder.add_task(kNoStream, SimTime(1));
  builder.add_task(kNoStream, SimTime(1));
  builder.add_edge(0, 1);
  builder.add_edge(0, 1);
  const TaskGraph graph = std::move(builder).freeze();
  CHECK(to_vector(graph.successors(0)) == std::vector<TaskId>{1, 1});
  CHECK(graph.indegree(1) == 2);
}

TEST_CASE("a stream lists its tasks in order of id") {
  TaskGraphBuilder builder;
  const StreamId a = builder.add_stream(0, StreamClass::kForeground);
  const StreamId b = builder.add_stream(0, StreamClass::kBackground);
  builder.add_task(b, SimTime(1));
  builder.add_task(a, SimTime(1));
  builder.add_task(kNoStream, SimTime(1));
  builder.add_task(b, SimTime(1));
  const TaskGraph graph = std::move(builder).freeze();
  CHECK(to_vector(graph.stream_tasks(a)) == std::vector<TaskId>{1});
  CHECK(to_vector(graph.stream_tasks(b)) == std::vector<TaskId>{0, 3});
  CHECK(graph.background(b));
  CHECK_FALSE(graph.background(a));
}

TEST_CASE("an empty graph freezes") {
  const TaskGraph graph = TaskGraphBuilder().freeze();
  CHECK(graph.size() == 0);
  CHECK(graph.edge_count() == 0);
}

TEST_CASE("a graph interferes only where a rate is below one and a domain has both classes") {
  const auto interferes = [](double rate, std::uint32_t other_domain) {
    TaskGraphBuilder builder;
    builder.add_stream(3, StreamClass::kForeground);
    builder.add_stream(other_domain, StreamClass::kBackground);
    builder.set_interference(rate, 1.0);
    return std::move(builder).freeze().interferes();
  };
  CHECK(interferes(0.9, 3));
  CHECK_FALSE(interferes(1.0, 3));
  CHECK_FALSE(interferes(0.9, 4));
}

TEST_CASE("a broken precondition of the builder is a logic error") {
  TaskGraphBuilder builder;
  builder.add_task(kNoStream, SimTime(1));
  builder.add_task(kNoStream, SimTime(1));
  CHECK_THROWS_AS(builder.add_edge(1, 0), std::logic_error);
  CHECK_THROWS_AS(builder.add_edge(1, 1), std::logic_error);
  CHECK_THROWS_AS(builder.add_task(0, SimTime(1)), std::logic_error);
  CHECK_THROWS_AS(builder.add_task(kNoStream, SimTime(-1)), std::logic_error);
  CHECK_THROWS_AS(builder.set_interference(0.0, 1.0), std::logic_error);
  CHECK_THROWS_AS(builder.set_interference(1.0, 1.1), std::logic_error);
  CHECK_THROWS_AS(builder.set_interference(std::numeric_limits<double>::quiet_NaN(), 1.0),
                  std::logic_error);
}

TEST_CASE("an edge to a task that was never added is a logic error of freeze") {
  TaskGraphBuilder builder;
  builder.add_task(kNoStream, SimTime(1));
  builder.add_edge(0, 1);
  CHECK_THROWS_AS(std::move(builder).freeze(), std::logic_error);
}
