// Steps measured on up to four H200 (tests/data/measured, calibration/measure_steps.py) beside
// their predictions.
//
// Tolerances: the step's mean error is at most 15 % and no step is off by more than 20 %; the peak
// of allocated memory has a mean error of at most 5 % and no error over 10 %; what ran out of
// memory is predicted not to fit, and what ran is predicted to fit. Rows that this version cannot
// simulate are refused with a reason, and are not the majority.

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "tools/cli/measured.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

struct Row {
  MeasuredRun run;
  RunReport report;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> all = [] {
    std::vector<Row> out;
    for (const char* name : {"h200-steps.jsonl", "h200-steps-plans.jsonl"})
      for (MeasuredRun& run :
           read_measured(std::string(REHEARSE_SOURCE_DIR) + "/tests/data/measured/" + name)) {
        Row row{std::move(run), {}};
        if (!row.run.scenario.empty()) row.report = simulate(row.run.scenario.front()).report;
        out.push_back(std::move(row));
      }
    return out;
  }();
  return all;
}

double relative(double predicted, double measured) { return predicted / measured - 1; }

TEST_CASE("steps on H200 are predicted within 15 % in the mean") {
  double sum = 0;
  int count = 0;
  for (const Row& row : rows()) {
    if (row.run.scenario.empty() || !row.run.step) continue;
    const double error = relative(row.report.step_time.value, row.run.step->value);
    INFO(row.run.name << " " << 100 * error << " %");
    CHECK(std::abs(error) <= 0.20);
    sum += std::abs(error);
    ++count;
  }
  REQUIRE(count >= 45);
  INFO("mean " << 100 * sum / count << " % of " << count);
  CHECK(sum / count <= 0.15);
}

TEST_CASE("peak memory on H200 is predicted within 5 % in the mean") {
  double sum = 0;
  int count = 0;
  for (const Row& row : rows()) {
    if (row.run.scenario.empty() || !row.run.peak || row.run.out_of_memory) continue;
    const double error = relative(static_cast<double>(row.report.peak_memory.value),
                                  static_cast<double>(row.run.peak->value));
    INFO(row.run.name << " " << 100 * error << " %");
    CHECK(std::abs(error) <= 0.10);
    sum += std::abs(error);
    ++count;
  }
  REQUIRE(count >= 45);
  INFO("mean " << 100 * sum / count << " % of " << count);
  CHECK(sum / count <= 0.05);
}

TEST_CASE("what runs out of memory on H200 is predicted not to fit, and the other way round") {
  int out_of_memory = 0;
  for (const Row& row : rows()) {
    if (row.run.scenario.empty()) continue;
    INFO(row.run.name);
    CHECK(row.report.fits == !row.run.out_of_memory);
    out_of_memory += row.run.out_of_memory;
  }
  CHECK(out_of_memory >= 1);
}

TEST_CASE("most of what was measured on H200 can be simulated") {
  const auto refused = std::count_if(rows().begin(), rows().end(),
                                     [](const Row& r) { return r.run.scenario.empty(); });
  CHECK(2 * refused < static_cast<std::ptrdiff_t>(rows().size()));
  for (const Row& row : rows()) CHECK(row.run.scenario.empty() == !row.run.refused.empty());
}

}  // namespace
}  // namespace rehearse
