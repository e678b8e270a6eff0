// Measures how fast things are on one core, each beside the plain way of doing the same.
//
//     rehearse_bench [--json FILE|-] [--runs N] [--only NAME]
//
// Every benchmark also checks that the fast way finds what the plain one does; exit code 1 where it
// does not.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "tests/bench/report.hpp"

namespace rehearse::bench {

double median_seconds(int runs, const std::function<void()>& run) {
  const auto now = [] { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; };
  std::vector<double> seconds;
  for (int i = 0; i < runs; ++i) {
    const double begin = now();
    run();
    seconds.push_back(now() - begin);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

namespace {

struct Benchmark {
  const char* name;
  const char* key;  // of the JSON
  Report (*run)(const Options&);
};
constexpr Benchmark kBenchmarks[] = {
    {"engine", "benchmarks", bench_engine},
    {"plans", "plans", bench_plans},
    {"growth", "growth", bench_growth},
    {"ring", "ring", bench_ring},
};

constexpr const char* kUsage = "usage: rehearse_bench [--json FILE|-] [--runs N] [--only NAME]\n";

// Exits with 2, like `rehearse`.
[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "rehearse_bench: %s\n%s", why.c_str(), kUsage);
  std::exit(2);
}

struct CommandLine {
  std::string json;  // empty: print tables
  std::string only;  // empty: everything
  Options options;
};

CommandLine parse(int argc, char** argv) {
  CommandLine out;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help") {
      std::printf("%s", kUsage);
      for (const Benchmark& b : kBenchmarks) std::printf("  %s\n", b.name);
      std::exit(0);
    }
    if (argument != "--json" && argument != "--runs" && argument != "--only")
      fail("unknown option " + argument);
    if (i + 1 == argc) fail(argument + " needs a value");
    const std::string value = argv[++i];
    if (argument == "--json") {
      out.json = value;
    } else if (argument == "--only") {
      const auto named = [&](const Benchmark& b) { return b.name == value; };
      if (std::none_of(std::begin(kBenchmarks), std::end(kBenchmarks), named))
        fail("no benchmark " + value);
      out.only = value;
    } else {
      out.options.runs = std::atoi(value.c_str());
      if (out.options.runs < 1) fail("--runs needs a positive number, not " + value);
    }
  }
  return out;
}

int run(const CommandLine& line) {
  std::ofstream file;
  // Opened before the work, so that a wrong path costs no minute.
  if (!line.json.empty() && line.json != "-") {
    file.open(line.json);
    if (!file) fail("cannot write " + line.json);
  }
  nlohmann::ordered_json json;
  bool agree = true;
  for (const Benchmark& b : kBenchmarks) {
    if (!line.only.empty() && line.only != b.name) continue;
    Report report = b.run(line.options);
    agree &= report.agree;
    json[b.key] = std::move(report.json);
    if (line.json.empty()) std::cout << report.table << "\n" << std::flush;
  }
  const std::string text = json.dump(2) + "\n";
  if (line.json == "-") std::cout << text;
  if (file.is_open()) file << text;
  return agree ? 0 : 1;
}

}  // namespace
}  // namespace rehearse::bench

int main(int argc, char** argv) { return rehearse::bench::run(rehearse::bench::parse(argc, argv)); }
