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
#include "tools/cli/sweep/job.hpp"
#include "tools/cli/sweep/page.hpp"
#include "tools/cli/sweep/points.hpp"

namespace rehearse {
namespace {

struct Options {
  std::string sweep, out, report;
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

// A sweep file with what its rows look like.
struct Loaded {
  explicit Loaded(const Options& o)
      : points(load_sweep(o.sweep, o.overrides, references)),
        rows(row_format_of(o.out),
             fingerprint_of(fmt::format("{}\n{}", REHEARSE_VERSION, points.content())),
             points.keys()) {}

  References references;
  Sweep points;
  RowWriter rows;
};

// The part of a process that others hand points to.
int work_for_others(const Options& o, Job& job) {
  const std::string fingerprint = job.await_announcement();
  if (fingerprint.empty()) return kExitDone;  // rank 0 says why
  try {
    const Loaded loaded(o);
    if (loaded.rows.fingerprint() != fingerprint)
      throw UserError({}, fmt::format("rank {} reads another sweep than rank 0", job.rank()),
                      "all machines need the same files");
    EvaluationCache cache;
    job.work([&](std::uint64_t point) {
      return evaluate_row(loaded.points, loaded.rows, point, cache);
    });
  } catch (const UserError& e) {
    std::fputs((std::string(e.what()) + "\n").c_str(), stderr);
    job.abandon(kExitUserError);
  }
  return kExitDone;
}

std::string last_line(const Options& o, std::uint64_t written, std::uint64_t there,
                      double seconds) {
  std::string out = fmt::format("{}: {} points simulated in {:.1f} s, {:.0f} points/s", o.out,
                                written, seconds, static_cast<double>(written) / seconds);
  if (there > 0) out += fmt::format("; {} were there already", there);
  return out + "\n";
}

int sweep(const Options& o) {
  row_format_of(o.out);  // throws for a wrong ending
  Job job;
  if (job.size() > 1 && o.jobs > 0)
    throw UserError({}, "--jobs is for one process; mpirun says how many ranks there are");
  if (job.rank() > 0) return work_for_others(o, job);
  const Loaded loaded(o);
  const Sweep& points = loaded.points;
  check_hardware(points);
  check_output(o.out);
  if (!o.report.empty()) check_output(o.report);
  SweepSummary summary(points.keys());
  PointSource source(points, summary);
  const Interrupt interrupt;
  const auto begin = std::chrono::steady_clock::now();
  ResultFile file(o.out, loaded.rows, o.restart,
                  {[&](std::uint64_t point) { return source.next() == point; },
                   [&](const RowWriter::Parsed& row) { summary.add(row); }});
  std::uint64_t written = 0;
  {
    Progress progress(points.combinations(), source.position());
    RowCollector collector(loaded.rows, file, summary, progress);
    job.announce(loaded.rows.fingerprint());
    if (job.size() > 1)
      job.hand_out(source, collector);
    else
      run_threads(points, loaded.rows, source, collector, jobs_of(o));
    written = collector.written();
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::fputs((summary.text() + last_line(o, written, file.taken_over(), seconds)).c_str(), stdout);
  if (const int signal = Interrupt::signal(); signal != 0) {
    std::fputs(farewell(signal, o.out).c_str(), stderr);
    return 128 + signal;
  }
  if (!o.report.empty()) write_output(o.report, sweep_report_page(o.out, points.keys()));
  return summary.failed() > 0 ? kExitBug : kExitDone;
}

}  // namespace

void setup_sweep(CLI::App& sub, std::function<int()>& action) {
  auto o = std::make_shared<Options>();
  sub.add_option("sweep", o->sweep, "a sweep file, or a name in configs/sweeps")->required();
  sub.add_option("--out", o->out,
                 "where the rows go, .csv or .jsonl; the same command again goes on with it")
      ->required();
  sub.add_option("--report", o->report, "writes one HTML page of the finished sweep");
  sub.add_option("--jobs", o->jobs, "points simulated at once (default: one a core)")
      ->check(CLI::Range(1, 1024));
  sub.add_option("--set", o->overrides, "key=value: sets any value of the base")
      ->allow_extra_args(false);
  sub.add_flag("--restart", o->restart, "empties the file first, whatever it holds");
  sub.footer("Ctrl-C ends it cleanly with exit code 130 (SIGTERM: 143).");
  action = [o] { return sweep(*o); };
}

}  // namespace rehearse
