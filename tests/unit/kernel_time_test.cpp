#include "sim/report/kernel_time.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/report_fixture.hpp"

using namespace rehearse;

TEST_CASE("a kernel is at work without the gap that follows it, a collective throughout") {
  test::ReportGraph g;
  const auto d = g.device(0);
  g.notes.devices[0].kernel_gap = SimTime(200);
  const TaskId kernel = g.task(d.compute, Activity::kForward, 1000);
  const TaskId copy = g.task(d.compute, Activity::kCollective, 700);
  const auto reduce = g.collective("all_reduce", "dp", 8, 8);
  const TaskId collective = g.communicate(d.communication, Activity::kCollective, 500, reduce);
  const TaskId issue = g.task(d.host, Activity::kHost, 300);
  const TaskId tiny = g.task(d.compute, Activity::kForward, 100);
  g.run();
  const auto at_work = [&](TaskId t) { return time_at_work(g.graph, g.timeline, g.notes, t).ps; };
  CHECK(at_work(kernel) == 800);
  CHECK(at_work(copy) == 500);
  CHECK(at_work(collective) == 500);
  CHECK(at_work(issue) == 300);
  CHECK(at_work(tiny) == 100);  // shorter than a gap: told as it is
}
