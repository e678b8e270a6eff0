#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "sim/base/format.hpp"
#include "sim/report/run_report.hpp"
#include "sim/report/writers/economics_text.hpp"
#include "sim/report/writers/text_table.hpp"

namespace rehearse {
namespace {

using Align = TextTable::Align;

// Wider names go below the table, so that its lines stay within a terminal.
constexpr std::size_t kLongestName = 18;

struct Part {
  const char* name;
  Seconds Breakdown::*time;
};
constexpr std::array<Part, 5> kParts{{{"compute", &Breakdown::compute},
                                      {"exposed communication", &Breakdown::exposed_communication},
                                      {"the pipeline bubble", &Breakdown::pipeline_bubble},
                                      {"waiting for the host", &Breakdown::host},
                                      {"the optimizer", &Breakdown::optimizer}}};

const std::string& name_of(const RunReport& r) {
  return r.plan_name.empty() ? r.scenario : r.plan_name;
}

// Every name, or the scenario's with it where scenarios share plans' names.
std::vector<std::string> names_of(const std::vector<const RunReport*>& order) {
  std::vector<std::string> names;
  for (const RunReport* r : order) names.push_back(name_of(*r));
  std::vector<std::string> sorted = names;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
    for (std::size_t i = 0; i < order.size(); ++i) names[i] = order[i]->scenario;
  }
  return names;
}

// What a GPU needs, reserved memory and what is not the allocator's, over what it has.
std::string memory_cell(const RunReport& r) {
  constexpr double kGigabyte = 1e9;
  const Bytes needed = r.peak_reserved + r.memory_overhead;
  return fmt::format("{:.1f}/{:.1f}", static_cast<double>(needed.value) / kGigabyte,
                     static_cast<double>(r.memory_capacity.value) / kGigabyte);
}

std::vector<std::string> row_of(const RunReport& r, const std::string& label) {
  const Seconds total = r.breakdown.total();
  std::vector<std::string> row{label, format_seconds(r.step_time),
                               fmt::format("{:.1f}", r.tokens_per_second_per_gpu),
                               fmt::format("{:.1f}", 100 * r.mfu), memory_cell(r)};
  for (const Part& part : kParts) {
    const double share = total.value > 0 ? ratio(r.breakdown.*part.time, total) : 0.0;
    row.push_back(fmt::format("{:.1f}", 100 * share));
  }
  return row;
}

bool is_long(const std::string& name) { return display_width(name) > kLongestName; }

// What stands for a plan in a table: its name, or its number where names are long.
std::vector<std::string> labels_of(const std::vector<std::string>& names) {
  std::vector<std::string> labels = names;
  if (std::any_of(names.begin(), names.end(), is_long))
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = fmt::format("#{}", i + 1);
  return labels;
}

// Why each plan differs from the one before it.
std::string differences(const std::vector<const RunReport*>& order,
                        const std::vector<std::string>& labels) {
  std::string out;
  for (std::size_t i = 1; i < order.size(); ++i)
    out += wrap(fmt::format("  {} → {}: ", labels[i - 1], labels[i]),
                difference_text(*order[i - 1], *order[i]));
  return out.empty() ? out : "from each plan to the next\n" + out + "\n";
}

std::string table_of(const std::vector<const RunReport*>& order,
                     const std::vector<std::string>& names,
                     const std::vector<std::string>& labels) {
  const bool numbered = labels != names;
  TextTable table({{"plan", Align::kLeft},
                   {"step"},
                   {"tokens/s/GPU"},
                   {"MFU %"},
                   {"memory GB"},
                   {"compute"},
                   {"comm"},
                   {"bubble"},
                   {"host"},
                   {"optim"}});
  std::string legend;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::string& label = labels[i];
    if (!order[i]->fits && (i == 0 || order[i - 1]->fits))
      table.add_heading("do not fit in memory:");
    table.add_row(row_of(*order[i], label));
    if (numbered) legend += wrap(fmt::format("{:>4}  ", label), names[i]);
  }
  return table.to_string("") + (numbered ? "\n" + legend : "");
}

// In which nine of ten measured steps should lie.
std::string intervals(const std::vector<const RunReport*>& order,
                      const std::vector<std::string>& labels) {
  std::string out;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const RunReport& r = *order[i];
    if (!(r.step_high > r.step_low)) continue;
    out += fmt::format("{}{} {} to {}", out.empty() ? "" : ", ", labels[i],
                       format_seconds(r.step_low), format_seconds(r.step_high));
  }
  return out.empty() ? out : wrap("90 % intervals: ", out);
}

// What of any plan's step was not measured on the machine that is simulated.
std::string transfers(const std::vector<const RunReport*>& order) {
  std::vector<std::string> seen;
  for (const RunReport* r : order)
    for (const CarriedOver& t : r->transfers) {
      const std::string text = fmt::format("{} ({})", t.what, t.source);
      if (std::find(seen.begin(), seen.end(), text) == seen.end()) seen.push_back(text);
    }
  return seen.empty() ? ""
                      : wrap("rests on transfers, or on what was not measured: ",
                             fmt::format("{}", fmt::join(seen, "; ")));
}

// The part of the step that differs most from the runner-up's, for as many tokens.
std::string reason(const RunReport& best, const RunReport& next) {
  const double same_tokens =
      next.tokens_per_step > 0
          ? static_cast<double>(best.tokens_per_step) / static_cast<double>(next.tokens_per_step)
          : 1.0;
  const auto saving = [&](const Part& part) {
    return (next.breakdown.*part.time).value * same_tokens - (best.breakdown.*part.time).value;
  };
  const Part& largest =
      *std::max_element(kParts.begin(), kParts.end(),
                        [&](const Part& a, const Part& b) { return saving(a) < saving(b); });
  if (saving(largest) <= 0) return {};
  return fmt::format(", mostly because {} takes {} of a step instead of {}", largest.name,
                     format_seconds(best.breakdown.*largest.time),
                     format_seconds(next.breakdown.*largest.time * same_tokens));
}

// Whether the difference of two plans is more than predictions are off by. What they are off by is
// half alike for both, which have most of their kernels in common.
bool told_apart(const RunReport& a, const RunReport& b) {
  const auto spread = [](const RunReport& r) {
    return r.step_time.value > 0 ? (r.step_high - r.step_low).value / (2 * r.step_time.value) : 0;
  };
  const double x = spread(a), y = spread(b);
  return std::abs(a.tokens_per_second / b.tokens_per_second - 1) > std::sqrt(x * x + y * y - x * y);
}

std::string verdict(const std::vector<const RunReport*>& order,
                    const std::vector<std::string>& names) {
  if (!order.front()->fits) {
    const auto smallest = std::min_element(
        order.begin(), order.end(),
        [](const RunReport* a, const RunReport* b) { return a->peak_reserved < b->peak_reserved; });
    return wrap("", fmt::format("No plan fits in memory; {} comes nearest with {} reserved.",
                                names[static_cast<std::size_t>(smallest - order.begin())],
                                format_bytes((*smallest)->peak_reserved)));
  }
  if (order.size() == 1 || !order[1]->fits) {
    return wrap("", fmt::format("{} is {}.", names[0],
                                order.size() == 1 ? "the only plan" : "the only plan that fits"));
  }
  const double faster = order[0]->tokens_per_second / order[1]->tokens_per_second - 1;
  if (!(faster > 0)) {
    return wrap("", fmt::format("{} and {} are equally fast.", names[0], names[1]));
  }
  const std::string unsure = told_apart(*order[0], *order[1])
                                 ? ""
                                 : " The two cannot be told apart: predictions may be off by more.";
  return wrap("",
              fmt::format("{} is the fastest that fits: {} more tokens/s than {}{}.{}", names[0],
                          format_percent(faster), names[1], reason(*order[0], *order[1]), unsure));
}

}  // namespace

std::string compare_text(const std::vector<RunReport>& reports) {
  if (reports.empty()) return "no plans\n";
  const std::vector<const RunReport*> order = best_first(reports);
  const std::vector<std::string> names = names_of(order);
  const std::vector<std::string> labels = labels_of(names);
  return table_of(order, names, labels) + "\n" + verdict(order, names) + intervals(order, labels) +
         "\n" + transfers(order) + differences(order, labels) + economics_table(order, labels) +
         "\n" +
         "memory: reserved, with CUDA context and communication buffers, of what is usable on a "
         "GPU\n"
         "compute to optim: percent of the step; comm: exposed communication\n";
}

}  // namespace rehearse
