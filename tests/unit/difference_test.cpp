#include <catch2/catch.hpp>

#include "sim/report/run_report.hpp"

using namespace rehearse;

namespace {

RunReport report(const std::string& tensor, double compute, double all_reduce, double bubble) {
  RunReport r;
  r.tokens_per_step = 1000;
  r.settings = {{"TP", tensor}, {"PP", "2"}};
  r.breakdown.compute = Seconds(compute);
  r.breakdown.exposed_communication = Seconds(all_reduce);
  r.breakdown.pipeline_bubble = Seconds(bubble);
  CommunicationRow row;
  row.operation = "all_reduce";
  row.group = "tp";
  row.exposed = Seconds(all_reduce);
  r.communication = {row};
  r.step_time = Seconds(compute + all_reduce + bubble);
  return r;
}

}  // namespace

TEST_CASE("A difference names what changed and what each part of the step adds") {
  CHECK(difference_text(report("8", 0.6, 0.4, 0.0), report("4", 0.6, 0.1, 0.1)) ==
        "TP 8 → 4: -20.0 % time a token = -30.0 % exposed all_reduce (tp), +10.0 % bubble");
}

TEST_CASE("A difference is per token") {
  RunReport twice = report("8", 1.2, 0.8, 0.0);
  twice.tokens_per_step = 2000;
  CHECK(difference_text(report("8", 0.6, 0.4, 0.0), twice) == "+0.0 % time a token");
}
