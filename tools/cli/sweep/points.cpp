#include "tools/cli/sweep/points.hpp"

#include <exception>
#include <utility>

#include "sim/base/error.hpp"
#include "sim/base/format.hpp"

namespace rehearse {
namespace {

// A user's mistake as one line without its place.
std::string reason_of(const UserError& error) {
  std::string out;
  for (const Diagnostic& d : error.diagnostics()) out += (out.empty() ? "" : "; ") + d.message;
  return out;
}

PointResult evaluate_point(const Sweep& sweep, std::uint64_t point, EvaluationCache& cache) {
  PointResult out;
  try {
    out.evaluation = evaluate(sweep.scenario(point), cache);
    const Evaluation& e = out.evaluation;
    if (!e.fits) {
      out.status = PointStatus::kOutOfMemory;
      out.reason = "needs " + format_bytes(e.peak_reserved + e.memory_overhead) + " of " +
                   format_bytes(e.memory_capacity) + " per GPU";
    }
  } catch (const UserError& error) {
    out.status = PointStatus::kInfeasible;
    out.reason = reason_of(error);
  } catch (const std::exception& error) {
    // One point's bug is said, and does not cost the others.
    out.status = PointStatus::kFailed;
    out.reason = error.what();
  }
  return out;
}

}  // namespace

std::optional<std::uint64_t> PointSource::next() {
  while (position_ < sweep_.combinations()) {
    const std::uint64_t point = position_++;
    const auto left_out = sweep_.left_out_by(point);
    if (!left_out) return point;
    summary_.leave_out(sweep_.where()[*left_out].text());
  }
  return std::nullopt;
}

std::string evaluate_row(const Sweep& sweep, const RowWriter& rows, std::uint64_t point,
                         EvaluationCache& cache) {
  return rows.row(point, sweep.values(point), evaluate_point(sweep, point, cache));
}

void RowCollector::put(std::uint64_t sequence, std::string row, std::uint64_t position) {
  waiting_.emplace(sequence, std::move(row));
  std::string ready;
  for (auto first = waiting_.begin(); first != waiting_.end() && first->first == written_;
       first = waiting_.erase(first)) {
    ready += first->second;
    ++written_;
    first->second.pop_back();  // its newline
    if (const auto parsed = rows_.parse(first->second)) summary_.add(*parsed);
  }
  if (!ready.empty()) file_.append(ready);
  progress_.show(written_, position);
}

}  // namespace rehearse
