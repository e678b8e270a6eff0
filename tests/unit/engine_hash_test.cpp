#include <catch2/catch.hpp>
#include <stdexcept>

#include "sim/engine/replay.hpp"

using namespace rehearse;

namespace {

struct Variant {
  std::int64_t duration = 10;
  std::uint32_t domain = 0;
  StreamClass cls = StreamClass::kForeground;
  bool extra_edge = false;
  bool reversed = false;
};

TaskGraph graph_of(const Variant& v) {
  TaskGraphBuilder builder;
  const StreamId stream = builder.add_stream(v.domain, v.cls);
  builder.add_task(stream, SimTime(v.duration));
  builder.add_task(kNoStream, SimTime(5));
  builder.add_task(stream, SimTime(5));
  if (v.reversed) builder.add_edge(1, 2);
  builder.add_edge(0, 1);
  if (!v.reversed) builder.add_edge(1, 2);
  if (v.extra_edge) builder.add_edge(0, 2);
  return std::move(builder).freeze();
}

std::uint64_t structure_of(const Variant& v) { return structure_hash(graph_of(v)); }

std::uint64_t timing_of(const Variant& v) {
  const TaskGraph graph = graph_of(v);
  return timing_hash(graph, sweep(graph));
}

}  // namespace

TEST_CASE("a duration changes the timing hash and not the structure hash") {
  CHECK(structure_of({.duration = 11}) == structure_of({}));
  CHECK(timing_of({.duration = 11}) != timing_of({}));
}

TEST_CASE("an edge that delays nothing changes the structure hash and not the timing hash") {
  CHECK(structure_of({.extra_edge = true}) != structure_of({}));
  CHECK(timing_of({.extra_edge = true}) == timing_of({}));
}

TEST_CASE("a stream's domain and class are structure") {
  CHECK(structure_of({.domain = 1}) != structure_of({}));
  CHECK(structure_of({.cls = StreamClass::kBackground}) != structure_of({}));
}

TEST_CASE("the order in which edges were inserted does not reach a hash") {
  CHECK(structure_of({.reversed = true}) == structure_of({}));
  CHECK(timing_of({.reversed = true}) == timing_of({}));
}

TEST_CASE("sweep and replay have the same timing hash") {
  const TaskGraph graph = graph_of({});
  CHECK(timing_hash(graph, sweep(graph)) == timing_hash(graph, replay(graph)));
}

TEST_CASE("a timeline of another graph has no hash") {
  CHECK_THROWS_AS(timing_hash(graph_of({}), Timeline{}), std::logic_error);
}
