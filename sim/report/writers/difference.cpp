#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "sim/report/run_report.hpp"

namespace rehearse {
namespace {

constexpr double kWorthSaying = 0.002;  // of the step

std::string changed_settings(const RunReport& from, const RunReport& to) {
  std::string out;
  const auto add = [&](const std::string& name, const std::string& a, const std::string& b) {
    if (a != b) out += fmt::format("{}{} {} → {}", out.empty() ? "" : ", ", name, a, b);
  };
  add("model", from.model, to.model);
  add("GPU", from.gpu, to.gpu);
  add("GPUs", fmt::format("{}", from.gpus), fmt::format("{}", to.gpus));
  add("runtime", from.runtime, to.runtime);
  for (const auto& [name, value] : from.settings)
    for (const auto& [other, next] : to.settings)
      if (name == other) add(name, value, next);
  return out;
}

// Where the time of a step goes, communication by operation; the parts add up to the step.
std::vector<std::pair<std::string, double>> parts_of(const RunReport& r) {
  std::vector<std::pair<std::string, double>> out{{"compute", r.breakdown.compute.value}};
  double rest = r.breakdown.exposed_communication.value;
  for (const CommunicationRow& row : r.communication) {
    if (row.exposed.value <= 0) continue;
    out.emplace_back(fmt::format("exposed {} ({})", row.operation, row.group), row.exposed.value);
    rest -= row.exposed.value;
  }
  out.emplace_back("other waits for communication", rest);
  out.emplace_back("bubble", r.breakdown.pipeline_bubble.value);
  out.emplace_back("host", r.breakdown.host.value);
  out.emplace_back("optimizer", r.breakdown.optimizer.value);
  return out;
}

}  // namespace

std::string difference_text(const RunReport& from, const RunReport& to) {
  const auto tokens = [](const RunReport& r) {
    return static_cast<double>(std::max<std::int64_t>(1, r.tokens_per_step));
  };
  const double whole = from.step_time.value / tokens(from);
  if (!(whole > 0)) return {};
  std::map<std::string, double> change;
  std::vector<std::string> order;
  const auto add = [&](const RunReport& r, double sign) {
    for (const auto& [name, time] : parts_of(r)) {
      if (!change.contains(name)) order.push_back(name);
      change[name] += sign * time / tokens(r) / whole;
    }
  };
  add(from, -1);
  add(to, 1);
  std::stable_sort(order.begin(), order.end(), [&](const std::string& a, const std::string& b) {
    return std::abs(change[a]) > std::abs(change[b]);
  });
  const double total = to.step_time.value / tokens(to) / whole - 1;
  const std::string settings = changed_settings(from, to);
  std::string out = fmt::format("{}{}{:+.1f} % time a token", settings,
                                settings.empty() ? "" : ": ", 100 * total);
  std::string reasons;
  for (const std::string& name : order)
    if (std::abs(change[name]) >= kWorthSaying)
      reasons +=
          fmt::format("{}{:+.1f} % {}", reasons.empty() ? "" : ", ", 100 * change[name], name);
  return reasons.empty() ? out : out + " = " + reasons;
}

}  // namespace rehearse
