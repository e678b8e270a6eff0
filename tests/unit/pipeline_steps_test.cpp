// The order in which a rank's host issues work and messages (strategies/pipeline_steps.hpp).

#include "strategies/pipeline_steps.hpp"

#include <catch2/catch.hpp>
#include <string>

namespace rehearse {
namespace {

// "F0" runs, "<F0>" receives, runs and sends, "<F0" receives, "F0>" sends; an exchange in brackets
// sends ">f0" and receives "<b0"; "!0" awaits the rank's exchange 0.
std::string text(const std::vector<PipelineStep>& steps) {
  std::string out;
  for (const PipelineStep& s : steps) {
    if (!out.empty()) out += ' ';
    if (s.kind == PipelineStep::Kind::kAwait) {
      out += "!" + std::to_string(s.exchange);
    } else if (s.kind == PipelineStep::Kind::kExchange) {
      out += '[';
      for (const auto& [sends, m] : s.messages)
        out += (sends ? ">" : "<") + std::string(m.forward ? "f" : "b") +
               std::to_string(m.micro_batch);
      out += ']';
    } else {
      const bool between = s.kind == PipelineStep::Kind::kRunBetween;
      if (between || s.kind == PipelineStep::Kind::kReceive) out += '<';
      constexpr const char* kLetters = "FBIW";
      out += kLetters[static_cast<int>(s.action.kind)] + std::to_string(s.action.micro_batch);
      if (between || s.kind == PipelineStep::Kind::kSend) out += '>';
    }
  }
  return out;
}

std::string order(const char* schedule, PipelineShape shape, bool in_order) {
  const auto all = pipeline_steps(*find_schedule(schedule), shape, in_order);
  return text(all[static_cast<std::size_t>(shape.rank)]);
}

TEST_CASE("messages on streams of their own surround what makes and needs them") {
  CHECK(order("1f1b", {2, 0, 2, 1}, false) == "<F0> <F1> <B0> <B1>");
}

TEST_CASE("actions that are one piece of work receive before both and send after both") {
  CHECK_THAT(order("dualpipe", {4, 0, 8, 2}, false),
             Catch::Contains("<F3 <B5 F3 B5 F3> B5> <F6 <B0 F6 B0 F6> B0>"));
}

TEST_CASE("in order, 1F1B's sends go with the receives that follow them") {
  CHECK(order("1f1b", {2, 0, 3, 1}, true) ==
        "F0 [>f0] F1 !0 [>f1<b0] !1 B0 F2 [>f2<b1] !2 B1 [<b2] !3 B2");
  CHECK(order("1f1b", {2, 1, 3, 1}, true) ==
        "[<f0] !0 F0 B0 [>b0<f1] !1 F1 B1 [>b1<f2] !2 F2 B2 [>b2] !3");
}

TEST_CASE("in order, GPipe's messages go one by one") {
  CHECK(order("gpipe", {2, 0, 2, 1}, true) == "F0 [>f0] F1 [>f1] !0 !1 [<b0] !2 B0 [<b1] !3 B1");
}

TEST_CASE("in order, other schedules post a receive when its sender sends") {
  CHECK(order("zb-h1", {2, 0, 2, 1}, true) ==
        "F0 [>f0] F1 [>f1] [<b0] !2 I0 W0 [<b1] !3 I1 W1 !0 !1");
  CHECK(order("zb-h1", {2, 1, 2, 1}, true) ==
        "[<f0] !0 F0 [<f1] I0 [>b0] !1 F1 I1 [>b1] W0 W1 !2 !3");
}

TEST_CASE("every message has one send and one receive on the ranks of its stages") {
  for (const Schedule& s : schedules())
    for (const int p : {2, 4}) {
      const PipelineShape shape{p, 0, 3 * p, s.chunks_per_rank > 0 ? s.chunks_per_rank : 2};
      const auto all = pipeline_steps(s, shape, true);
      std::map<StageMessage, std::pair<int, int>> seen;
      for (const auto& steps : all)
        for (const PipelineStep& step : steps)
          for (const auto& [sends, m] : step.messages) ++(sends ? seen[m].first : seen[m].second);
      CAPTURE(s.name, p);
      CHECK(!seen.empty());
      for (const auto& [m, count] : seen) CHECK(count == std::pair<int, int>{1, 1});
    }
}

}  // namespace
}  // namespace rehearse
