#include "sim/flow/max_min.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace rehearse {
namespace {

std::vector<Crossing> crossings(const std::vector<LinkId>& route) {
  std::vector<Crossing> out;
  for (const LinkId link : route) {
    const auto known =
        std::find_if(out.begin(), out.end(), [link](const Crossing& c) { return c.link == link; });
    if (known == out.end())
      out.push_back({link, 1});
    else
      known->weight += 1;
  }
  return out;
}

}  // namespace

std::vector<double> max_min_fair(std::span<const double> capacities,
                                 std::span<const std::vector<LinkId>> flows,
                                 std::span<const double> rate_caps) {
  if (!rate_caps.empty() && rate_caps.size() != flows.size()) {
    throw std::logic_error("max_min_fair: one cap a flow, or none at all");
  }
  LinkSharing sharing({capacities.begin(), capacities.end()}, flows.size());
  std::vector<std::vector<Crossing>> routes;
  for (const auto& route : flows) routes.push_back(crossings(route));
  for (FlowId f = 0; f < routes.size(); ++f)
    sharing.begin(f, routes[f],
                  rate_caps.empty() ? std::numeric_limits<double>::infinity() : rate_caps[f]);
  sharing.solve();
  std::vector<double> rates;
  for (FlowId f = 0; f < routes.size(); ++f) rates.push_back(sharing.rate(f));
  return rates;
}

}  // namespace rehearse
