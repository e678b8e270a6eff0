// Transfers that share links, with times derived by hand. A link has a capacity of 1.

#include <catch2/catch.hpp>

#include "sim/engine/replay.hpp"

using namespace rehearse;

namespace {

// Devices with one stream each, and tasks of 1 us on them.
struct Network {
  TaskGraphBuilder builder;
  std::uint32_t devices = 0;

  TaskId transfer(std::vector<Crossing> crossings, double demand = 1, std::int64_t ps = 1'000'000) {
    const StreamId s = builder.add_stream(devices++, StreamClass::kBackground);
    const TaskId t = builder.add_task(s, SimTime(ps));
    builder.set_transfer(t, builder.add_transfer({demand, std::move(crossings)}));
    return t;
  }
};

}  // namespace

TEST_CASE("a transfer alone takes its own time, to the picosecond") {
  Network n;
  const LinkId l = n.builder.add_link();
  const TaskId t = n.transfer({{l, 1}}, 0.9, 1'234'567);
  n.transfer({{n.builder.add_link(), 1}});
  const TaskGraph graph = std::move(n.builder).freeze();
  CHECK(graph.link_count() == 0);  // no link can fill up
  CHECK_FALSE(graph.interferes());
  CHECK(replay(graph).duration(t).ps == 1'234'567);
}

TEST_CASE("two transfers that each fill a link take twice as long on it") {
  Network n;
  const LinkId l = n.builder.add_link();
  const TaskId a = n.transfer({{l, 1}}), b = n.transfer({{l, 1}});
  const TaskGraph graph = std::move(n.builder).freeze();
  CHECK(graph.link_count() == 1);
  const Timeline t = simulate(graph);
  CHECK(t.end[a].ps == 2'000'000);
  CHECK(t.end[b].ps == 2'000'000);
}

TEST_CASE("what is left when one ends goes to the other") {
  // Half each until the shorter has moved its half of a microsecond at 1 us; the other has as much
  // left, and the link to itself: 1 + 0.5.
  Network n;
  const LinkId l = n.builder.add_link();
  const TaskId a = n.transfer({{l, 1}}), b = n.transfer({{l, 1}}, 1, 500'000);
  const Timeline t = simulate(std::move(n.builder).freeze());
  CHECK(t.end[b].ps == 1'000'000);
  CHECK(t.end[a].ps == 1'500'000);
}

TEST_CASE("a transfer that wants less than its share goes at full speed") {
  // 0.25 and 1 of a link: the first is not slowed, the second has 3/4 for 1 us, then all of it.
  Network n;
  const LinkId l = n.builder.add_link();
  const TaskId a = n.transfer({{l, 1}}, 0.25), b = n.transfer({{l, 1}});
  const Timeline t = simulate(std::move(n.builder).freeze());
  CHECK(t.end[a].ps == 1'000'000);
  CHECK(t.end[b].ps == 1'250'000);
}

TEST_CASE("copies of a folded transfer count as often as they are") {
  // Two GPUs share a NIC, each sends as much as it carries: half the speed, alone.
  Network n;
  const LinkId l = n.builder.add_link();
  const TaskId a = n.transfer({{l, 2}});
  CHECK(simulate(std::move(n.builder).freeze()).end[a].ps == 2'000'000);
}

TEST_CASE("folded copies and single transfers take the same time") {
  // Three of one kind and one of another on a link: a quarter each, folded or not.
  Network folded, single;
  const LinkId f = folded.builder.add_link(), s = single.builder.add_link();
  const TaskId three = folded.transfer({{f, 3}}, 0.7), one = folded.transfer({{f, 1}}, 0.6);
  std::vector<TaskId> all;
  for (int i = 0; i < 3; ++i) all.push_back(single.transfer({{s, 1}}, 0.7));
  all.push_back(single.transfer({{s, 1}}, 0.6));
  const Timeline a = simulate(std::move(folded.builder).freeze());
  const Timeline b = simulate(std::move(single.builder).freeze());
  for (int i = 0; i < 3; ++i) CHECK(a.end[three] == b.end[all[static_cast<std::size_t>(i)]]);
  CHECK(a.end[one] == b.end[all[3]]);
}

TEST_CASE("a transfer is no faster than the kernels beside it let it be") {
  // Beside a kernel it goes at half its speed, so it wants half of the link; the other has the rest
  // and is not slowed.
  Network n;
  n.builder.set_interference(1, 0.5);
  const LinkId l = n.builder.add_link();
  const StreamId compute = n.builder.add_stream(0, StreamClass::kForeground);
  n.builder.add_task(compute, SimTime(5'000'000));
  const TaskId a = n.transfer({{l, 1}});  // on device 0
  const TaskId b = n.transfer({{l, 1}}, 0.5);
  const Timeline t = simulate(std::move(n.builder).freeze());
  CHECK(t.end[a].ps == 2'000'000);
  CHECK(t.end[b].ps == 1'000'000);
}

TEST_CASE("links that all streams together cannot fill are left out") {
  Network n;
  const LinkId roomy = n.builder.add_link(), narrow = n.builder.add_link();
  n.transfer({{roomy, 0.4}, {narrow, 1}});
  const TaskId b = n.transfer({{roomy, 0.4}, {narrow, 1}});
  const TaskGraph graph = std::move(n.builder).freeze();
  CHECK(graph.link_count() == 1);
  CHECK(graph.transfer(graph.transfer_of(b)).crossings == std::vector<Crossing>{{0, 1}});
}

TEST_CASE("mistakes in transfers are refused") {
  TaskGraphBuilder b;
  const LinkId l = b.add_link();
  CHECK_THROWS_AS(b.add_transfer({0, {{l, 1}}}), std::logic_error);
  CHECK_THROWS_AS(b.add_transfer({1, {{l + 1, 1}}}), std::logic_error);
  CHECK_THROWS_AS(b.add_transfer({1, {{l, 0}}}), std::logic_error);
  const TaskId delay = b.add_task(kNoStream, SimTime(1));
  const TransferId t = b.add_transfer({1, {{l, 1}}});
  CHECK_THROWS_AS(b.set_transfer(delay, t), std::logic_error);
}
