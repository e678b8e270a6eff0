#include "tools/cli/search/search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>

#include "sim/base/error.hpp"
#include "sim/base/suggest.hpp"

namespace rehearse {
namespace {

constexpr double kSecondsPerHour = 3600;
// Plans whose bounds are made closer, or that are simulated, before bounds are looked at again.
constexpr std::size_t kBounded = 64, kSimulated = 8;

constexpr std::array kObjectives{
    Objective{"time", "the step takes least",
              [](const Evaluation& e) { return e.step_time.value; }},
    Objective{"cost", "a step costs least: GPUs times hours times their price, or 1 without one",
              [](const Evaluation& e) {
                const double price = e.economics.price_per_gpu_hour;
                return e.gpus * e.step_time.value / kSecondsPerHour * (price > 0 ? price : 1);
              }},
    Objective{"memory", "a GPU needs least memory",
              [](const Evaluation& e) { return static_cast<double>(e.peak_reserved.value); }},
    Objective{"energy", "a step takes least energy, in joules",
              [](const Evaluation& e) {
                return e.gpus * e.step_time.value * e.economics.power.value * e.economics.pue;
              }},
};

// Calls visit(worker, i) for every i below `count`, on `jobs` threads.
template <class Visit>
void in_parallel(std::size_t count, int jobs, const Visit& visit) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr error;
  std::mutex mutex;
  const auto work = [&](std::size_t worker) {
    try {
      for (std::size_t i = next++; i < count; i = next++) visit(worker, i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      next = count;
    }
  };
  std::vector<std::thread> threads;
  for (int j = 1; j < jobs && static_cast<std::size_t>(j) < count; ++j)
    threads.emplace_back(work, static_cast<std::size_t>(j));
  work(0);
  for (std::thread& t : threads) t.join();
  if (error) std::rethrow_exception(error);
}

bool better(const FoundPlan& a, const FoundPlan& b) {
  return std::tie(a.objective, a.evaluation.step_time, a.index) <
         std::tie(b.objective, b.evaluation.step_time, b.index);
}

// `a` is at least as good as time and memory, and better in one.
bool dominates(const Evaluation& a, Seconds time, Bytes memory) {
  return a.step_time <= time && a.peak_reserved <= memory &&
         (a.step_time < time || a.peak_reserved < memory);
}

class Search {
 public:
  Search(const SearchSpace& space, const Objective& objective, const SearchOptions& options)
      : space_(space),
        objective_(objective),
        options_(options),
        caches_(static_cast<std::size_t>(options.jobs)) {}

  SearchResult run() {
    const auto begin = std::chrono::steady_clock::now();
    bound_all();
    std::make_heap(candidates_.begin(), candidates_.end(), later);
    const std::size_t all = candidates_.size();
    while (!candidates_.empty() && !out_.stopped) {
      round();
      options_.progress(all - candidates_.size(), all);
      out_.stopped = options_.stop();
    }
    std::sort(out_.front.begin(), out_.front.end(), [](const FoundPlan& a, const FoundPlan& b) {
      return a.evaluation.step_time < b.evaluation.step_time;
    });
    out_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return std::move(out_);
  }

 private:
  struct Candidate {
    std::size_t index = 0;
    double objective = 0;
    EvaluationBound bound;
    bool close = false;  // closer_bound()
  };
  static bool later(const Candidate& a, const Candidate& b) {
    return std::tie(a.objective, a.index) > std::tie(b.objective, b.index);
  }

  const ClusterSize& size_of(std::size_t index) const {
    return space_.sizes()[static_cast<std::size_t>(space_.choices()[index].size)];
  }

  double objective_of_bound(std::size_t index, const EvaluationBound& b) const {
    Evaluation e;
    e.step_time = b.step_time;
    e.peak_reserved = b.memory;
    e.gpus = size_of(index).gpus();
    e.economics = size_of(index).least;
    return objective_.value(e);
  }

  void bound_all() {
    struct Bounded {
      bool feasible = true;
      EvaluationBound bound;
      std::string reason;
    };
    constexpr std::size_t kPiece = 4096;  // so that memory does not grow with the choices' reasons
    const std::size_t all = space_.choices().size();
    for (std::size_t first = 0; first < all && !out_.stopped; first += kPiece) {
      std::vector<Bounded> piece(std::min(kPiece, all - first));
      in_parallel(piece.size(), options_.jobs, [&](std::size_t worker, std::size_t i) {
        try {
          piece[i].bound = bound(space_.scenario(space_.choices()[first + i]), caches_[worker]);
        } catch (const UserError& e) {
          piece[i] = {false, {}, e.diagnostics().front().message};
        }
      });
      for (std::size_t i = 0; i < piece.size(); ++i) {
        if (!piece[i].feasible) {
          ++out_.infeasible;
          count_reason(piece[i].reason);
        } else if (!piece[i].bound.may_fit && !options_.exhaustive) {
          ++out_.too_large;
        } else {
          candidates_.push_back(
              {first + i, objective_of_bound(first + i, piece[i].bound), piece[i].bound, false});
        }
      }
      options_.progress(first + piece.size(), all);
      out_.stopped = options_.stop();
    }
  }

  void count_reason(const std::string& reason) {
    std::string key;
    for (const char c : reason) {
      const bool digit = c >= '0' && c <= '9';
      if (!digit) key += c;
      if (digit && !key.ends_with('#')) key += '#';
    }
    ++out_.reasons[key];
  }

  bool needed(const Candidate& c) const {
    if (options_.exhaustive) return true;
    if (out_.best.size() < options_.top || c.objective <= out_.best.back().objective) return true;
    return options_.front &&
           std::none_of(out_.front.begin(), out_.front.end(), [&](const FoundPlan& p) {
             return dominates(p.evaluation, c.bound.step_time, c.bound.memory);
           });
  }

  void put(const Candidate& c) {
    candidates_.push_back(c);
    std::push_heap(candidates_.begin(), candidates_.end(), later);
  }
  // The best by their bounds, of those that may matter.
  std::vector<Candidate> take() {
    std::vector<Candidate> out;
    while (!candidates_.empty() && out.size() < kBounded) {
      std::pop_heap(candidates_.begin(), candidates_.end(), later);
      if (needed(candidates_.back()))
        out.push_back(candidates_.back());
      else
        ++out_.bounded;
      candidates_.pop_back();
    }
    return out;
  }

  // Closer bounds first, then simulations of those that are still the best.
  void round() {
    std::vector<Candidate> taken = take();
    const auto far = std::stable_partition(taken.begin(), taken.end(),
                                           [&](const Candidate& c) { return c.close; });
    if (far != taken.end() && !options_.exhaustive) {
      std::for_each(taken.begin(), far, [&](const Candidate& c) { put(c); });
      taken.erase(taken.begin(), far);
      bound_closer(taken);
      return;
    }
    const std::size_t now = std::min(taken.size(), kSimulated);
    std::for_each(taken.begin() + static_cast<std::ptrdiff_t>(now), taken.end(),
                  [&](const Candidate& c) { put(c); });
    taken.resize(now);
    simulate_all(taken);
  }

  void bound_closer(std::vector<Candidate>& of) {
    std::vector<std::string> reasons(of.size());
    in_parallel(of.size(), options_.jobs, [&](std::size_t worker, std::size_t i) {
      Candidate& c = of[i];
      try {
        c.bound = closer_bound(space_.scenario(space_.choices()[c.index]), caches_[worker]);
      } catch (const UserError& e) {
        reasons[i] = e.diagnostics().front().message;
      }
    });
    for (std::size_t i = 0; i < of.size(); ++i) {
      Candidate& c = of[i];
      c.close = true;
      c.objective = objective_of_bound(c.index, c.bound);
      if (!reasons[i].empty()) {
        ++out_.infeasible;
        count_reason(reasons[i]);
      } else if (!c.bound.may_fit) {
        ++out_.too_large;
      } else {
        put(c);
      }
    }
  }

  // What the allocator reserves takes longest to find out. The time, and the memory that is the
  // least that it can reserve, are a better bound than the first: nothing where that is enough to
  // leave the plan out. What was found does not change meanwhile.
  std::optional<Evaluation> simulate_if_needed(std::size_t index, EvaluationCache& cache) const {
    const Scenario scenario = space_.scenario(space_.choices()[index]);
    if (options_.exhaustive) return evaluate(scenario, cache);
    bool matters = true;
    const Evaluation e =
        evaluate(scenario, cache, {.reserved = true, .reserved_of = [&](const Evaluation& least) {
                                     matters = !least.fits ||
                                               needed({index,
                                                       objective_.value(least),
                                                       {least.step_time, least.peak_reserved, true},
                                                       true});
                                     return least.fits && matters;
                                   }});
    return matters ? std::optional(e) : std::nullopt;
  }

  void simulate_all(const std::vector<Candidate>& round) {
    std::vector<std::optional<Evaluation>> evaluations(round.size());
    std::vector<std::string> reasons(round.size());
    in_parallel(round.size(), options_.jobs, [&](std::size_t worker, std::size_t i) {
      try {
        evaluations[i] = simulate_if_needed(round[i].index, caches_[worker]);
      } catch (const UserError& e) {
        reasons[i] = e.diagnostics().front().message;
      }
    });
    for (std::size_t i = 0; i < round.size(); ++i) {
      if (!reasons[i].empty()) {
        ++out_.infeasible;
        count_reason(reasons[i]);
        continue;
      }
      ++out_.simulated;
      if (!evaluations[i]) continue;
      if (!evaluations[i]->fits) {
        ++out_.out_of_memory;
        continue;
      }
      keep({round[i].index, objective_.value(*evaluations[i]), *evaluations[i]});
    }
  }

  void keep(const FoundPlan& plan) {
    const auto place = std::upper_bound(out_.best.begin(), out_.best.end(), plan, better);
    out_.best.insert(place, plan);
    if (out_.best.size() > options_.top) out_.best.pop_back();
    const Evaluation& e = plan.evaluation;
    for (FoundPlan& p : out_.front) {
      if (dominates(p.evaluation, e.step_time, e.peak_reserved)) return;
      if (p.evaluation.step_time == e.step_time && p.evaluation.peak_reserved == e.peak_reserved) {
        if (plan.index < p.index) p = plan;
        return;
      }
    }
    std::erase_if(out_.front, [&](const FoundPlan& p) {
      return dominates(e, p.evaluation.step_time, p.evaluation.peak_reserved);
    });
    out_.front.push_back(plan);
  }

  const SearchSpace& space_;
  const Objective& objective_;
  const SearchOptions& options_;
  std::vector<EvaluationCache> caches_;
  std::vector<Candidate> candidates_;
  SearchResult out_;
};

}  // namespace

std::span<const Objective> objectives() { return kObjectives; }

const Objective& find_objective(const std::string& name) {
  std::vector<std::string> names;
  for (const Objective& o : kObjectives) {
    if (o.name == name) return o;
    names.emplace_back(o.name);
  }
  throw UserError({}, fmt::format("no objective '{}'", name), suggestion(name, names));
}

SearchResult search(const SearchSpace& space, const Objective& objective,
                    const SearchOptions& options) {
  return Search(space, objective, options).run();
}

}  // namespace rehearse
