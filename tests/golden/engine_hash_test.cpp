// The hashes of fixed small graphs. They may change only with the definition of the hash or of the
// engine's times; a change here says that every recorded run hash is void, and the commit says why.

#include <catch2/catch.hpp>

#include "sim/engine/replay.hpp"

using namespace rehearse;

namespace {

// Two devices with a host, a compute and a communication stream each; three rounds of issue,
// compute, send, latency; a join at the end. The overlap of send and compute is at 0.9 and 0.8.
TaskGraph fixed_graph(double foreground_rate, double background_rate) {
  TaskGraphBuilder builder;
  builder.set_interference(foreground_rate, background_rate);
  StreamId host[2];
  StreamId compute[2];
  StreamId communication[2];
  for (std::uint32_t d = 0; d < 2; ++d) {
    host[d] = builder.add_stream(d, StreamClass::kIndependent);
    compute[d] = builder.add_stream(d, StreamClass::kForeground);
    communication[d] = builder.add_stream(d, StreamClass::kBackground);
  }
  TaskId arrival[2] = {};
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t d = 0; d < 2; ++d) {
      const TaskId issue = builder.add_task(host[d], SimTime(4'000 + 7 * round));
      const TaskId kernel = builder.add_task(compute[d], SimTime(31'001 + 1'000 * d));
      builder.add_edge(issue, kernel);
      if (round > 0) builder.add_edge(arrival[1 - d], kernel);
      const TaskId send = builder.add_task(communication[d], SimTime(20'003));
      builder.add_edge(kernel, send);
      const TaskId overlapped = builder.add_task(compute[d], SimTime(25'000));
      builder.add_edge(issue, overlapped);
      const TaskId latency = builder.add_task(kNoStream, SimTime(500));
      builder.add_edge(send, latency);
      arrival[d] = latency;
    }
  }
  const TaskId join = builder.add_task(kNoStream, SimTime(0));
  for (const TaskId last : arrival) builder.add_edge(last, join);
  return std::move(builder).freeze();
}

}  // namespace

TEST_CASE("the structure hash of a fixed graph") {
  CHECK(structure_hash(fixed_graph(1.0, 1.0)) == 0x42e0d797c1fbe425ULL);
}

TEST_CASE("the timing hash of a fixed graph without interference") {
  const TaskGraph graph = fixed_graph(1.0, 1.0);
  CHECK(timing_hash(graph, simulate(graph)) == 0x74b7157e58ac0d5cULL);
}

TEST_CASE("the timing hash of a fixed graph with interference") {
  const TaskGraph graph = fixed_graph(0.9, 0.8);
  CHECK(timing_hash(graph, simulate(graph)) == 0x1aed9911e5d64f34ULL);
}
