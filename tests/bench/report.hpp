#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace rehearse::bench {

struct Options {
  int runs = 5;
};

// What a benchmark found: a table for people, the same for programs, and whether everything that
// it compared agreed.
struct Report {
  std::string table;
  nlohmann::ordered_json json;
  bool agree = true;
};

// The median of several runs, in seconds of one core: of the processor's time, which others on the
// machine do not change.
double median_seconds(int runs, const std::function<void()>& run);

// One file each.
Report bench_engine(const Options& options);
Report bench_plans(const Options& options);
Report bench_growth(const Options& options);
Report bench_ring(const Options& options);

}  // namespace rehearse::bench
