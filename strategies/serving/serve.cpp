#include <algorithm>
#include <queue>
#include <tuple>

#include "strategies/serving/server.hpp"
#include "strategies/serving/serving.hpp"

namespace rehearse {
namespace {

struct Event {
  enum class Kind : std::uint8_t { kStepEnds, kCacheArrives, kRequestArrives };
  double time = 0;
  Kind kind{};
  std::size_t server = 0;   // whose step ends, or that the cache goes to
  std::size_t request = 0;  // that arrives, or whose cache does
  friend bool operator>(const Event& a, const Event& b) {
    return std::tie(a.time, a.kind, a.server, a.request) >
           std::tie(b.time, b.kind, b.server, b.request);
  }
};

class FleetRun {
 public:
  FleetRun(const std::vector<Request>& requests, const Server& server, const StepPrices& prices,
           const Fleet& fleet)
      : requests_(requests), prices_(prices), prefill_(static_cast<std::size_t>(fleet.prefill)) {
    out_.first_token.assign(requests.size(), -1);
    out_.done.assign(requests.size(), -1);
    const auto count = static_cast<std::size_t>(fleet.servers);
    for (std::size_t i = 0; i < count; ++i) {
      Server one = server;
      one.seed += i;
      servers_.emplace_back(requests, one, prices,
                            prefill_ == 0  ? ServerRun::Role::kBoth
                            : i < prefill_ ? ServerRun::Role::kPrefill
                                           : ServerRun::Role::kDecode,
                            out_);
    }
    busy_.assign(count, false);
    coming_.assign(count, 0);
    link_free_.assign(count, 0);
  }

  Served run() {
    arrives(0);
    while (!events_.empty()) {
      const double now = events_.top().time;
      while (!events_.empty() && events_.top().time == now) {
        const Event e = events_.top();
        events_.pop();
        handle(e);
      }
      for (std::size_t i = 0; i < servers_.size(); ++i)
        if (!busy_[i] && !servers_[i].idle()) {
          busy_[i] = true;
          const double end = servers_[i].step(now);
          out_.end = std::max(out_.end, end);
          events_.push({end, Event::Kind::kStepEnds, i, 0});
        }
    }
    return std::move(out_);
  }

 private:
  void arrives(std::size_t request) {
    if (request < requests_.size())
      events_.push({requests_[request].arrival, Event::Kind::kRequestArrives, 0, request});
  }

  // Of servers [from, to) the one with the fewest requests, on their way ones included.
  std::size_t least(std::size_t from, std::size_t to) const {
    std::size_t best = from;
    const auto load = [&](std::size_t i) { return servers_[i].load() + coming_[i]; };
    for (std::size_t i = from; i < to; ++i)
      if (load(i) < load(best)) best = i;
    return best;
  }

  void handle(const Event& e) {
    switch (e.kind) {
      case Event::Kind::kStepEnds:
        busy_[e.server] = false;
        for (const std::size_t r : servers_[e.server].prefilled()) send(e.server, r, e.time);
        return;
      case Event::Kind::kCacheArrives:
        --coming_[e.server];
        servers_[e.server].take(e.request);
        return;
      case Event::Kind::kRequestArrives:
        servers_[least(0, prefill_ > 0 ? prefill_ : servers_.size())].take(e.request);
        arrives(e.request + 1);
        return;
    }
  }

  void send(std::size_t from, std::size_t request, double now) {
    const std::size_t to = least(prefill_, servers_.size());
    double& link = link_free_[from];
    link = std::max(link, now) + prices_.transfer(static_cast<int>(from), static_cast<int>(to),
                                                  requests_[request].prompt);
    ++coming_[to];
    events_.push({link, Event::Kind::kCacheArrives, to, request});
  }

  const std::vector<Request>& requests_;
  const StepPrices& prices_;
  std::size_t prefill_;
  Served out_;
  std::vector<ServerRun> servers_;
  std::vector<bool> busy_;
  std::vector<std::size_t> coming_;  // caches on their way to a server
  std::vector<double> link_free_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
};

}  // namespace

Served serve(const std::vector<Request>& requests, const Server& server, const StepPrices& prices,
             const Fleet& fleet) {
  return FleetRun(requests, server, prices, fleet).run();
}

}  // namespace rehearse
