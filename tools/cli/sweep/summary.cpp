#include "tools/cli/sweep/summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "sim/base/format.hpp"
#include "sim/report/writers/text_table.hpp"

namespace rehearse {
namespace {

using Align = TextTable::Align;

constexpr std::size_t kBest = 5;
constexpr std::size_t kMostReasons = 1000;  // further ones are counted together

// Reasons that differ in their numbers alone are one.
std::string without_numbers(const std::string& reason) {
  std::string out;
  for (const char c : reason) {
    const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
    if (!digit)
      out += c;
    else if (out.empty() || out.back() != '#')
      out += '#';
  }
  return out;
}

bool better(const RowWriter::Parsed& a, const RowWriter::Parsed& b) {
  if (a.tokens_per_second != b.tokens_per_second) return a.tokens_per_second > b.tokens_per_second;
  return a.point < b.point;
}

std::string counted(std::uint64_t n, const char* one, const char* many) {
  return fmt::format("{} {}", format_count(static_cast<std::int64_t>(n)), n == 1 ? one : many);
}

}  // namespace

void SweepSummary::add(const RowWriter::Parsed& row) {
  ++rows_;
  ++by_status_[row.status];
  if (row.status != "ok") {
    std::string key = row.status + ": " + without_numbers(row.reason);
    if (reasons_.size() >= kMostReasons && !reasons_.contains(key)) key = row.status;
    Reason& r = reasons_[key];
    if (r.count++ == 0) r = {1, row.status, row.reason};
    return;
  }
  if (best_.size() == kBest && !better(row, best_.back())) return;
  best_.push_back(row);
  std::sort(best_.begin(), best_.end(), better);
  if (best_.size() > kBest) best_.pop_back();
}

std::uint64_t SweepSummary::count(const std::string& status) const {
  const auto found = by_status_.find(status);
  return found == by_status_.end() ? 0 : found->second;
}

std::string SweepSummary::text() const {
  std::string out =
      fmt::format("{}: {} ok, {} out of memory, {} infeasible\n", counted(rows_, "point", "points"),
                  format_count(static_cast<std::int64_t>(count("ok"))),
                  format_count(static_cast<std::int64_t>(count("out_of_memory"))),
                  format_count(static_cast<std::int64_t>(count("infeasible"))));
  if (failed() > 0) out += fmt::format("{} failed by a bug of the simulator\n", failed());
  std::vector<const Reason*> order;
  for (const auto& [key, reason] : reasons_) order.push_back(&reason);
  std::stable_sort(order.begin(), order.end(),
                   [](const Reason* a, const Reason* b) { return a->count > b->count; });
  for (const Reason* r : order)
    out += wrap(fmt::format("{:>9}  ", format_count(static_cast<std::int64_t>(r->count))),
                (r->status == "infeasible" ? "" : r->status + ": ") + r->example +
                    (r->count > 1 ? " (and the like)" : ""));
  for (const auto& [expression, n] : left_out_)
    out += wrap(fmt::format("{:>9}  ", format_count(static_cast<std::int64_t>(n))),
                fmt::format("left out by where: {}", expression));
  if (best_.empty()) return out + "no point fits\n";
  TextTable table({{"point"}, {"step"}, {"tokens/s"}, {"per GPU"}, {"memory"}, {"", Align::kLeft}});
  for (const RowWriter::Parsed& row : best_) {
    std::string values;
    for (std::size_t i = 0; i < keys_.size(); ++i)
      values += fmt::format("{}{}={}", i == 0 ? "" : " ", keys_[i].substr(keys_[i].rfind('.') + 1),
                            row.values[i]);
    table.add_row({std::to_string(row.point), format_seconds(Seconds(row.step_time)),
                   fmt::format("{:.1f}", row.tokens_per_second),
                   fmt::format("{:.1f}", row.tokens_per_second_per_gpu),
                   format_bytes(Bytes(static_cast<std::int64_t>(row.reserved))), values});
  }
  return out + "\nmost tokens/s of those that fit\n" + table.to_string("  ");
}

}  // namespace rehearse
