#include "sim/flow/occupancy.hpp"

#include <algorithm>

namespace rehearse {

bool Occupancy::overfull(std::vector<Interval>& intervals) {
  constexpr double kFull = 1 + 1e-9;  // rounding does not fill a link
  std::sort(intervals.begin(), intervals.end(), [](const Interval& a, const Interval& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  std::vector<Interval> now;
  for (const Interval& next : intervals) {
    std::erase_if(now, [&](const Interval& i) { return i.end <= next.begin; });
    now.push_back(next);
    double sum = 0;
    for (const Interval& i : now) sum += i.taken;
    if (sum > kFull) return true;
  }
  return false;
}

void Occupancy::add(LinkId link, std::int64_t begin_ps, std::int64_t end_ps, double taken) {
  if (overfull_ || end_ps <= begin_ps) return;
  Link& l = links_[link];
  l.intervals.push_back({begin_ps, end_ps, taken});
  if (l.intervals.size() < l.check_at) return;
  overfull_ = overfull(l.intervals);
  l.check_at *= 2;
}

bool Occupancy::overfull() {
  for (std::size_t l = 0; l < links_.size() && !overfull_; ++l)
    overfull_ = overfull(links_[l].intervals);
  if (overfull_) links_.clear();
  return overfull_;
}

}  // namespace rehearse
