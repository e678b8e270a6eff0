#include "sim/flow/max_min.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace rehearse {
namespace {

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

// The state of progressive filling.
class Filling {
 public:
  Filling(std::span<const double> capacities, std::span<const std::vector<LinkId>> flows,
          std::span<const double> rate_caps);
  std::vector<double> run();

 private:
  double cap(std::size_t flow) const { return rate_caps_.empty() ? kUnlimited : rate_caps_[flow]; }
  double share(LinkId link) const { return std::max(0.0, free_[link]) / crossings_[link]; }
  double next_level() const;
  void stop(std::size_t flow, double rate);

  std::span<const std::vector<LinkId>> flows_;
  std::span<const double> rate_caps_;
  std::vector<double> free_;       // capacity not taken by flows that have stopped
  std::vector<double> crossings_;  // by growing flows
  std::vector<std::size_t> growing_;
  std::vector<double> rates_;
};

Filling::Filling(std::span<const double> capacities, std::span<const std::vector<LinkId>> flows,
                 std::span<const double> rate_caps)
    : flows_(flows),
      rate_caps_(rate_caps),
      free_(capacities.begin(), capacities.end()),
      crossings_(capacities.size(), 0.0),
      rates_(flows.size(), 0.0) {
  for (const double capacity : capacities) {
    if (!(capacity >= 0.0) || std::isinf(capacity)) {
      throw std::logic_error("max_min_fair: a capacity is finite and not negative");
    }
  }
  if (!rate_caps.empty() && rate_caps.size() != flows.size()) {
    throw std::logic_error("max_min_fair: one cap a flow, or none at all");
  }
  for (const double rate_cap : rate_caps) {
    if (!(rate_cap >= 0.0)) throw std::logic_error("max_min_fair: a cap is not negative");
  }
  for (std::size_t f = 0; f < flows.size(); ++f) {
    for (const LinkId link : flows[f]) {
      if (link >= capacities.size()) throw std::logic_error("max_min_fair: no such link");
      crossings_[link] += 1.0;
    }
    growing_.push_back(f);
  }
}

double Filling::next_level() const {
  double level = kUnlimited;
  for (LinkId link = 0; link < free_.size(); ++link) {
    if (crossings_[link] > 0.0) level = std::min(level, share(link));
  }
  for (const std::size_t flow : growing_) level = std::min(level, cap(flow));
  return level;
}

void Filling::stop(std::size_t flow, double rate) {
  rates_[flow] = rate;
  for (const LinkId link : flows_[flow]) {
    free_[link] -= rate;
    crossings_[link] -= 1.0;
  }
}

std::vector<double> Filling::run() {
  std::vector<bool> full(free_.size());
  while (!growing_.empty()) {
    const double level = next_level();
    // Which links are full is settled before any flow stops: stopping changes the shares by
    // rounding, and a link that ties with the level must not drop out of the tie.
    for (LinkId link = 0; link < free_.size(); ++link) {
      full[link] = crossings_[link] > 0.0 && share(link) <= level;
    }
    std::vector<std::size_t> still_growing;
    for (const std::size_t flow : growing_) {
      const bool on_full_link = std::any_of(flows_[flow].begin(), flows_[flow].end(),
                                            [&](LinkId link) { return full[link]; });
      if (on_full_link || cap(flow) <= level) {
        stop(flow, level);
      } else {
        still_growing.push_back(flow);
      }
    }
    growing_.swap(still_growing);
  }
  return rates_;
}

}  // namespace

std::vector<double> max_min_fair(std::span<const double> capacities,
                                 std::span<const std::vector<LinkId>> flows,
                                 std::span<const double> rate_caps) {
  return Filling(capacities, flows, rate_caps).run();
}

}  // namespace rehearse
