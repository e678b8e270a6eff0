#include "sim/config/sweep.hpp"

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "hardware/cluster.hpp"
#include "models/model.hpp"
#include "sim/base/error.hpp"
#include "sim/report/writers/writers.hpp"
#include "tools/cli/command.hpp"
#include "tools/cli/sweep/interrupt.hpp"
#include "tools/cli/sweep/points.hpp"

namespace rehearse {
namespace {

struct Options {
  std::string sweep, out;
  std::vector<std::string> overrides;
  int jobs = 0;
  bool restart = false;
};

// FNV-1a.
std::string fingerprint_of(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return fmt::format("{:016x}", hash);
}

// What reading the models and clusters finds wrong with the values of axes, before any is run.
void check_hardware(const Sweep& sweep) {
  Diagnostics mistakes;
  const auto gather = [&](const auto& read) {
    try {
      read();
    } catch (const UserError& e) {
      for (const Diagnostic& d : e.diagnostics())
        if (d.form) mistakes.add(d);
    }
  };
  for (const std::uint64_t point : sweep.probes()) {
    gather([&] {
      const Scenario s = sweep.scenario(point);
      gather([&] { read_model(s.model); });
      gather([&] { read_cluster(s.cluster); });
    });
  }
  mistakes.throw_if_any();
}

int jobs_of(const Options& o) {
  if (o.jobs > 0) return o.jobs;
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

std::string farewell(int signal, const std::string& out) {
  return fmt::format("stopped by {}; the same command goes on with {}\n",
                     signal == SIGINT ? "Ctrl-C" : "SIGTERM", out);
}

int sweep(const Options& o) {
  const RowFormat format = row_format_of(o.out);
  References references;
  const Sweep points = load_sweep(o.sweep, o.overrides, references);
  check_hardware(points);
  check_output(o.out);
  const RowWriter rows(format,
                       fingerprint_of(fmt::format("{}\n{}", REHEARSE_VERSION, points.content())),
                       points.keys());
  SweepSummary summary(points.keys());
  PointSource source(points, summary);
  const Interrupt interrupt;
  const auto begin = std::chrono::steady_clock::now();
  ResultFile file(o.out, rows, o.restart,
                  {[&](std::uint64_t point) { return source.next() == point; },
                   [&](const RowWriter::Parsed& row) { summary.add(row); }});
  std::uint64_t written = 0;
  {
    Progress progress(points.combinations(), source.position());
    RowCollector collector(rows, file, summary, progress);
    run_threads(points, rows, source, collector, jobs_of(o));
    written = collector.written();
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::fputs(summary.text().c_str(), stdout);
  std::fputs(
      fmt::format(
          "{}: {} points simulated in {:.1f} s, {:.0f} points/s{}\n", o.out, written, seconds,
          static_cast<double>(written) / seconds,
          file.taken_over() > 0 ? fmt::format("; {} were there already", file.taken_over()) : "")
          .c_str(),
      stdout);
  if (const int signal = Interrupt::signal(); signal != 0) {
    std::fputs(farewell(signal, o.out).c_str(), stderr);
    return 128 + signal;
  }
  return summary.failed() > 0 ? kExitBug : kExitDone;
}

}  // namespace

void setup_sweep(CLI::App& sub, std::function<int()>& action) {
  auto o = std::make_shared<Options>();
  sub.add_option("sweep", o->sweep, "a sweep file, or a name in configs/sweeps")->required();
  sub.add_option("--out", o->out,
                 "where the rows go, .csv or .jsonl; the same command again goes on with it")
      ->required();
  sub.add_option("--jobs", o->jobs, "points simulated at once (default: one a core)")
      ->check(CLI::Range(1, 1024));
  sub.add_option("--set", o->overrides, "key=value: sets any value of the base")
      ->allow_extra_args(false);
  sub.add_flag("--restart", o->restart, "empties the file first, whatever it holds");
  sub.footer("Ctrl-C ends it cleanly with exit code 130 (SIGTERM: 143).");
  action = [o] { return sweep(*o); };
}

}  // namespace rehearse
