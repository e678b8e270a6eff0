#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/cli/evaluate.hpp"
#include "tools/cli/search/space.hpp"

namespace rehearse {

// What a search makes small. Each is a function of an evaluation that does not fall when the step
// takes longer, more memory or more power, so that the function of a bound is a bound of it.
struct Objective {
  std::string_view name, summary;
  double (*value)(const Evaluation& e);
};
std::span<const Objective> objectives();
// Throws UserError with the nearest name.
const Objective& find_objective(const std::string& name);

struct SearchOptions {
  std::size_t top = 5;
  int jobs = 1;
  bool exhaustive = false;  // simulate every plan that can be, to compare with
  bool front = true;        // find the whole front of time and memory
  std::function<bool()> stop = [] { return false; };
  // Plans that are dealt with, of how many.
  std::function<void(std::uint64_t, std::uint64_t)> progress = [](std::uint64_t, std::uint64_t) {};
};

struct FoundPlan {
  std::size_t index = 0;  // of SearchSpace::choices()
  double objective = 0;
  Evaluation evaluation;
};

struct SearchResult {
  std::vector<FoundPlan> best;   // that fit, best first; ties by index
  std::vector<FoundPlan> front;  // no other takes less time and memory; fastest first
  // Of all choices: their parts do not go together; too large whatever a simulation would say;
  // bounded: cannot be among the results; simulated, of which so many do not fit.
  std::uint64_t infeasible = 0, too_large = 0, bounded = 0, simulated = 0, out_of_memory = 0;
  std::map<std::string, std::uint64_t> reasons;  // of the infeasible, by their first mistake
  bool stopped = false;
  double seconds = 0;
};

// The best plans of a space, the same as by simulating all of them: a plan is left out only when
// its bound, which no simulation undercuts, is worse than the last of the best and, for the front,
// when something that was simulated has less time and memory than its bound. Best bounds come
// first, and are made closer before anything is simulated for them, in rounds whose size does not
// depend on the number of jobs, so that counts do not either.
SearchResult search(const SearchSpace& space, const Objective& objective,
                    const SearchOptions& options);

}  // namespace rehearse
