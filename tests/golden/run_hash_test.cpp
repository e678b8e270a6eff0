// Hashes of the shipped scenarios' runs, one line a plan: scenario/plan, structure, timing. They
// are the same on every machine, compiler and build type. Calibration changes the timing, a change
// of passes or schedules the structure too; either is renewed, with a reason in the commit, by
//   REHEARSE_RENEW_GOLDEN=1 build/release/bin/golden_tests "hashes of the shipped scenarios"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "sim/config/catalog.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

const std::string kFile = std::string(REHEARSE_SOURCE_DIR) + "/tests/golden/run_hashes.txt";

using Hashes = std::map<std::string, std::string>;

Hashes computed() {
  Hashes out;
  for (const std::string& name : catalog_names("scenarios"))
    for (const Scenario& s : load_scenarios(name))
      for (bool ideal : {false, true}) {
        SimulationOptions options;
        options.ideal = ideal;
        const auto run = simulate(s, options).report.simulation;
        out[s.name + (ideal ? " --ideal" : "")] = run.structure_hash + " " + run.timing_hash;
      }
  return out;
}

Hashes recorded() {
  std::ifstream in(kFile);
  Hashes out;
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(": ");
    REQUIRE(colon != std::string::npos);
    out[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return out;
}

TEST_CASE("hashes of the shipped scenarios") {
  const Hashes now = computed();
  if (std::getenv("REHEARSE_RENEW_GOLDEN")) {
    std::ofstream out(kFile);
    for (const auto& [name, hashes] : now) out << name << ": " << hashes << "\n";
  }
  const Hashes then = recorded();
  CHECK(now.size() == then.size());
  for (const auto& [name, hashes] : now) {
    INFO(name);
    REQUIRE(then.contains(name));
    CHECK(then.at(name) == hashes);
  }
}

TEST_CASE("a run in the same process has the same hashes again") {
  CHECK(computed() == computed());
}

}  // namespace
}  // namespace rehearse
