#include <algorithm>

#include "strategies/plan.hpp"

namespace rehearse {

RankMap rank_map(const ResolvedPlan& p) {
  return {p.plan.rank_order, p.data, p.tensor, p.context, p.pipeline};
}

namespace {

// An axis's size and a place along it. Experts are spread over ranks of the other axes: none.
struct AxisOf {
  int RankMap::*size = nullptr;
  int RankMap::Place::*at = nullptr;
};
AxisOf axis_of(const std::string& name) {
  switch (name.front()) {
    case 't':
      return {&RankMap::tensor, &RankMap::Place::tensor};
    case 'c':
      return {&RankMap::context, &RankMap::Place::context};
    case 'd':
      return {&RankMap::data, &RankMap::Place::data};
    case 'p':
      return {&RankMap::pipeline, &RankMap::Place::pipeline};
    default:
      return {};
  }
}

}  // namespace

int RankMap::rank_of(const Place& p) const {
  int rank = 0, stride = 1;
  for (const std::string& name : order) {
    const AxisOf axis = axis_of(name);
    if (axis.size == nullptr) continue;
    rank += p.*axis.at * stride;
    stride *= this->*axis.size;
  }
  return rank;
}

RankMap::Place RankMap::place_of(int rank) const {
  Place p;
  for (const std::string& name : order) {
    const AxisOf axis = axis_of(name);
    if (axis.size == nullptr) continue;
    p.*axis.at = rank % (this->*axis.size);
    rank /= this->*axis.size;
  }
  return p;
}

std::vector<int> RankMap::stage_ranks(int stage) const {
  std::vector<int> out;
  for (int d = 0; d < data; ++d)
    for (int c = 0; c < context; ++c)
      for (int t = 0; t < tensor; ++t) out.push_back(rank_of({d, t, c, stage}));
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<int> RankMap::group(const Place& p, const std::string& name) const {
  const AxisOf axis = axis_of(name);
  std::vector<int> out;
  for (int i = 0; i < this->*axis.size; ++i) {
    Place q = p;
    q.*axis.at = i;
    out.push_back(rank_of(q));
  }
  return out;
}

}  // namespace rehearse
