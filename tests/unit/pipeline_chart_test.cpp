#include "tools/cli/explain/pipeline_chart.hpp"

#include <catch2/catch.hpp>
#include <sstream>

#include "tests/unit/schedule_play.hpp"

// The chart of `rehearse explain SCENARIO pipeline`: rows as the papers draw their schedules.

namespace rehearse {
namespace {

BarKind bar_of(ActionKind kind) {
  switch (kind) {
    case ActionKind::kForward:
      return BarKind::kForward;
    case ActionKind::kBackward:
      return BarKind::kBackward;
    case ActionKind::kBackwardInputs:
      return BarKind::kInputs;
    case ActionKind::kBackwardWeights:
      return BarKind::kWeights;
  }
  return BarKind::kForward;
}

// What a schedule's ranks do, a time of 1 being 1000 ps: the median forward then has two columns
// of 500 ps where the chart may be as wide as that.
std::vector<ChartRow> rows_of(const char* schedule, const Shape& shape, const Times& times) {
  std::vector<ChartRow> rows;
  for (int r = 0; r < shape.ranks; ++r) rows.push_back({"rank " + std::to_string(r), {}});
  Play(*find_schedule(schedule), shape, times, [&](int rank, const Action& a, int begin, int end) {
    rows[static_cast<std::size_t>(rank)].bars.push_back(
        {begin * 1000LL, end * 1000LL, bar_of(a.kind), a.micro_batch, a.chunk});
  });
  return rows;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

// Seven columns of labels, then a column for every half of a forward.
std::vector<std::string> chart(const char* schedule, const Shape& shape, const Times& times,
                               int halves) {
  return lines_of(pipeline_chart(rows_of(schedule, shape, times), {7 + halves, false}));
}

}  // namespace

// Narayanan et al. 2021, figure 4, top, with a backward twice a forward: rank 0 waits for the first
// gradient and then runs one forward and one backward in turn.
TEST_CASE("chart: 1F1B") {
  const auto lines = chart("1f1b", {2, 3, 1}, {1, 1, 1}, 24);
  CHECK(lines[0] == "rank 0 0.1.    0===2.1===  2===");
  CHECK(lines[1] == "rank 1   0.0===1.1===2.2===");
}

TEST_CASE("chart: GPipe") {
  const auto lines = chart("gpipe", {2, 2, 1}, {1, 1, 1}, 18);
  CHECK(lines[0] == "rank 0 0.1.      0===1===");
  CHECK(lines[1] == "rank 1   0.1.0===1===");
}

// Qi et al. 2024, figure 3: in ZB-H1 the gradients of weights fill the end, and the bubble is a
// third of 1F1B's; in ZB-H2 there is none, and the ranks form a parallelogram.
TEST_CASE("chart: ZB-H1") {
  const auto lines = chart("zb-h1", {3, 4, 1}, {1, 1, 1}, 28);
  CHECK(lines[0] == "rank 0 0.1.2.    0-0~3.1-1~2-2~3-3~");
  CHECK(lines[1] == "rank 1   0.1.  0-2.1-0~3.2-1~3-2~3~");
  CHECK(lines[2] == "rank 2     0.0-1.1-2.2-0~3.3-1~2~3~");
}

TEST_CASE("chart: ZB-H2") {
  const auto lines = chart("zb-h2", {2, 4, 1}, {1, 1, 1}, 26);
  CHECK(lines[0] == "rank 0 0.1.2.0-0~3.1-1~2-2~3-3~");
  CHECK(lines[1] == "rank 1   0.0-1.1-2.2-0~3.3-1~2~3~");
}

// Chunks alternate in what fills them: the second of ZB-V's lies on the way back.
TEST_CASE("chart: chunks of a V") {
  const auto lines = chart("zbv", {2, 4, 2}, {1, 1, 1}, 50);
  CHECK(lines[0].starts_with("rank 0 0.1.2.0:0+0^"));
  CHECK(lines[1].starts_with("rank 1   0.0:1.1:"));
  CHECK(lines[0].find('%') == std::string::npos);
}

TEST_CASE("chart: a chart that is too wide goes on below, and says the time") {
  const auto narrow = chart("1f1b", {2, 3, 1}, {1, 1, 1}, 13);
  CHECK(narrow[0] == "rank 0 0.1.    0===2");
  CHECK(narrow[2].starts_with("       |0"));
  CHECK(narrow[3] == "rank 0 .1===  2===");
}

TEST_CASE("chart: the legend names what is in it, and nothing else") {
  const std::string split = chart("zb-h1", {2, 2, 1}, {1, 1, 1}, 90).back();
  CHECK(split.find("0-- backward, inputs") != std::string::npos);
  CHECK(split.find("0~~ backward, weights") != std::string::npos);
  CHECK(split.find("chunks") == std::string::npos);
  CHECK(split.find("optimizer") == std::string::npos);
  const std::string whole = chart("1f1b", {2, 2, 1}, {1, 1, 1}, 90).back();
  CHECK(whole.find("0== backward") != std::string::npos);
  CHECK(whole.find("inputs") == std::string::npos);
}

TEST_CASE("chart: colours are for terminals") {
  const auto rows = rows_of("1f1b", {2, 2, 1}, {1, 1, 1});
  CHECK(pipeline_chart(rows, {40, false}).find('\x1b') == std::string::npos);
  CHECK(pipeline_chart(rows, {40, true}).find("\x1b[30;44m0.") != std::string::npos);
}

TEST_CASE("chart: nothing to draw is drawn") {
  CHECK(lines_of(pipeline_chart({{"rank 0", {}}}, {}))[0] == "rank 0");
}

}  // namespace rehearse
