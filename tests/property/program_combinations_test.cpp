// Every combination of settings either runs or is refused as the user's mistake; none is a bug of
// the simulator (std::logic_error), and what runs obeys the bounds that hold for any schedule.

#include <catch2/catch.hpp>
#include <cstdlib>
#include <functional>

#include "sim/report/critical_path.hpp"
#include "tests/property/plans.hpp"

namespace rehearse {
namespace {

void for_all_plans(const std::function<void(const PlanText&)>& visit) {
  PlanText p;
  for (const char* model : {kTinyGpt2, kTinyLlama})
    for (int tensor : {1, 2, 4, 8})
      for (int pipeline : {1, 2, 4, 8})
        for (int zero : {0, 1, 2, 3})
          for (const std::string& schedule : all_schedules())
            for (int chunks : {1, 2})
              for (const char* recompute : {"none", "selective", "full"})
                for (const std::string& precision : all_precisions())
                  for (const char* sync : {"overlap", "end"})
                    for (bool sequence : {false, true})
                      for (bool vocabulary : {false, true}) {
                        p.model = model;
                        p.tensor = tensor;
                        p.pipeline = pipeline;
                        p.zero = zero;
                        p.schedule = schedule;
                        p.virtual_stages = chunks;
                        p.recompute = recompute;
                        p.precision = precision;
                        p.gradient_sync = sync;
                        p.sequence_parallel = sequence;
                        p.vocabulary_parallel = vocabulary;
                        visit(p);
                      }
}

std::int64_t total_work(const TaskGraph& g, const Timeline& t) {
  std::int64_t sum = 0;
  for (TaskId i = 0; i < g.size(); ++i) sum += t.duration(i).ps;
  return sum;
}

void check_bounds(const Simulation& s) {
  const TaskGraph& g = s.lowered.graph;
  std::int64_t path = 0;
  for (TaskId t : critical_path(g, s.timeline)) path += s.timeline.duration(t).ps;
  CHECK(path > 0);
  CHECK(path <= s.timeline.makespan.ps);
  CHECK(s.timeline.makespan.ps <= total_work(g, s.timeline));
  CHECK(s.report.breakdown.total().value == Approx(s.report.step_time.value).epsilon(1e-12));
  CHECK(s.report.step_time.value > 0);
}

// One in so many of the 344,064 combinations, by a stride that divides none of the axes; all of
// them with REHEARSE_COMBINATIONS_STRIDE=1.
long stride() {
  const char* given = std::getenv("REHEARSE_COMBINATIONS_STRIDE");
  return given ? std::max(1L, std::atol(given)) : 83;
}

TEST_CASE("every combination of a plan runs or is refused") {
  long n = 0, ran = 0, refused = 0;
  const long every = stride();
  for_all_plans([&](const PlanText& plan) {
    if (n++ % every != 0) return;
    INFO(plan.text());
    try {
      check_bounds(simulate(plan.scenario()));
      ++ran;
    } catch (const UserError& e) {
      REQUIRE(!e.diagnostics().empty());
      ++refused;
    }
  });
  CHECK(n == 344064);
  CHECK(ran > 600 * 83 / std::max(83L, every));
  CHECK(refused > 0);
}

}  // namespace
}  // namespace rehearse
