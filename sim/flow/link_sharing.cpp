#include "sim/flow/link_sharing.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace rehearse {

LinkSharing::LinkSharing(std::vector<double> capacities, std::size_t flows)
    : links_(capacities.size()), flows_(flows) {
  for (std::size_t l = 0; l < capacities.size(); ++l) {
    if (!(capacities[l] >= 0.0) || std::isinf(capacities[l])) {
      throw std::logic_error("LinkSharing: a capacity is finite and not negative");
    }
    links_[l].capacity = capacities[l];
  }
}

void LinkSharing::note(FlowId f) {
  if (flows_[f].changed) return;
  flows_[f].changed = true;
  changed_.push_back(f);
}

void LinkSharing::begin(FlowId f, std::span<const Crossing> crossings, double cap) {
  if (!(cap >= 0.0)) throw std::logic_error("LinkSharing: a cap is not negative");
  Flow& flow = flows_[f];
  flow.exists = true;
  flow.wanted = crossings;
  flow.wanted_cap = cap;
  note(f);
}

void LinkSharing::set_cap(FlowId f, double cap) {
  flows_[f].wanted_cap = cap;
  note(f);
}

void LinkSharing::end(FlowId f) {
  flows_[f].exists = false;
  note(f);
}

void LinkSharing::reach(LinkId l) {
  if (links_[l].reached) return;
  links_[l].reached = true;
  part_links_.push_back(l);
}

void LinkSharing::reach_flow(FlowId f) {
  if (flows_[f].reached) return;
  flows_[f].reached = true;
  part_.push_back(f);
}

// A flow that ended and began alike in one instant has not changed.
void LinkSharing::apply(FlowId f) {
  Flow& flow = flows_[f];
  flow.changed = false;
  const bool alike = flow.exists && flow.running && flow.wanted.data() == flow.crossings.data() &&
                     flow.wanted.size() == flow.crossings.size();
  if (alike && flow.wanted_cap == flow.cap) return;
  if (flow.running && !alike) {
    for (const Crossing& c : flow.crossings) {
      auto& on = links_[c.link].flows;
      on.erase(std::find(on.begin(), on.end(), f));
      reach(c.link);
    }
  }
  if (flow.exists && !alike) {
    for (const Crossing& c : flow.wanted) {
      if (c.link >= links_.size()) throw std::logic_error("LinkSharing: no such link");
      links_[c.link].flows.push_back(f);
    }
  }
  flow.crossings = flow.wanted;
  flow.cap = flow.wanted_cap;
  flow.running = flow.exists;
  if (flow.running) reach_flow(f);
}

std::span<const FlowId> LinkSharing::solve() {
  if (changed_.empty()) return {};
  for (const FlowId f : part_) flows_[f].reached = false;
  for (const LinkId l : part_links_) links_[l].reached = false;
  part_.clear();
  part_links_.clear();
  for (const FlowId f : changed_) apply(f);
  changed_.clear();
  for (std::size_t l = 0, f = 0; l < part_links_.size() || f < part_.size();) {
    if (f < part_.size()) {
      for (const Crossing& c : flows_[part_[f]].crossings) reach(c.link);
      ++f;
    } else {
      for (const FlowId other : links_[part_links_[l]].flows) reach_flow(other);
      ++l;
    }
  }
  std::sort(part_.begin(), part_.end());
  fill();
  return part_;
}

double LinkSharing::next_level() const {
  double level = std::numeric_limits<double>::infinity();
  for (const LinkId l : part_links_) {
    if (links_[l].growing > 0) level = std::min(level, links_[l].share());
  }
  for (const FlowId f : growing_) level = std::min(level, flows_[f].cap);
  return level;
}

void LinkSharing::stop(Flow& flow) {
  for (const Crossing& c : flow.crossings) {
    Link& link = links_[c.link];
    link.free -= c.weight * flow.rate;
    link.weight -= c.weight;
    --link.growing;
  }
}

void LinkSharing::fill() {
  for (const LinkId l : part_links_) {
    Link& link = links_[l];
    link.free = link.capacity;
    link.weight = 0;
    link.growing = 0;
  }
  growing_ = part_;
  for (const FlowId f : part_) {
    for (const Crossing& c : flows_[f].crossings) {
      links_[c.link].weight += c.weight;
      ++links_[c.link].growing;
    }
  }
  while (!growing_.empty()) {
    const double level = next_level();
    // Which links are full is settled before any flow stops: stopping changes the shares by
    // rounding, and a link that ties with the level must not drop out of the tie.
    for (const LinkId l : part_links_) {
      links_[l].full = links_[l].growing > 0 && links_[l].share() <= level;
    }
    std::size_t left = 0;
    for (const FlowId f : growing_) {
      Flow& flow = flows_[f];
      const bool full = std::any_of(flow.crossings.begin(), flow.crossings.end(),
                                    [&](const Crossing& c) { return links_[c.link].full; });
      if (full || flow.cap <= level) {
        flow.rate = level;
        stop(flow);
      } else {
        growing_[left++] = f;
      }
    }
    growing_.resize(left);
  }
}

}  // namespace rehearse
