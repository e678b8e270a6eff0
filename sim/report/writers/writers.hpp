#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/engine/annotations.hpp"
#include "sim/engine/replay.hpp"

namespace rehearse {

struct RunReport;

// Writers: one file each. They return text; write_output() puts it where the user wants it.
std::string run_text(const RunReport& report);                    // for the terminal
std::string compare_text(const std::vector<RunReport>& reports);  // best first
std::string run_json(const RunReport& report);                    // schema rehearse.run/1
std::string compare_json(const std::vector<RunReport>& reports);  // schema rehearse.compare/1
// Why `to` takes more or less time a token than `from`: the settings that change, and what each
// part of the step adds, in percent of `from`'s step, so that the parts add up to the whole: "TP 8
// → 4, DP 8 → 16: -12.3 % time a token = -15.1 % exposed all_reduce (tp), +2.9 % bubble".
std::string difference_text(const RunReport& from, const RunReport& to);
// Chrome trace, for Perfetto and chrome://tracing: a process per simulated rank, a thread per
// stream, flow arrows from sends to receives, a memory counter.
std::string chrome_trace(const TaskGraph& graph, const Timeline& timeline,
                         const Annotations& notes);

// A way to write reports.
struct ReportFormat {
  std::string_view name;
  std::string_view summary;
  std::string (*run)(const RunReport&);
  std::string (*compare)(const std::vector<RunReport>&);
};
std::span<const ReportFormat> report_formats();

// Plans that fit before those that do not, then by tokens per second, then by name.
std::vector<const RunReport*> best_first(const std::vector<RunReport>& reports);

// Writes text to a path; gzip when it ends in .gz; "-" is stdout. The text goes to a file beside
// the target that then takes its place, so that no partial file is left behind. Throws UserError.
void write_output(const std::string& path, const std::string& text);
// Throws the UserError that write_output() would throw for a path that cannot be written, so that
// a command can say so before it works for long.
void check_output(const std::string& path);

}  // namespace rehearse
