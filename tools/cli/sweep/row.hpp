#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/config/value.hpp"
#include "tools/cli/evaluate.hpp"

namespace rehearse {

enum class RowFormat : std::uint8_t { kCsv, kJsonLines };
// By the file's ending; throws UserError for another one.
RowFormat row_format_of(const std::string& path);

// What became of a point.
enum class PointStatus : std::uint8_t {
  kOk,
  kOutOfMemory,  // simulated, but does not fit
  kInfeasible,   // its parts do not go together
  kFailed        // a bug of the simulator
};
std::string_view to_string(PointStatus s);  // "ok", "out_of_memory", ...

struct PointResult {
  PointStatus status = PointStatus::kOk;
  std::string reason;     // one line; empty when ok
  Evaluation evaluation;  // of kOk and kOutOfMemory
};

// One column of results: SI base units, with the unit in the name, as in the JSON of `run`.
struct ResultColumn {
  std::string_view name;
  double (*value)(const Evaluation&);
};

// Rows of one sweep: the columns `sweep` (its fingerprint, so that a file says what it holds),
// `point`, the swept keys, `status`, `reason` and the results. A row is one line, and depends on
// nothing but its point. Doubles are in the shortest form that reads back the same.
class RowWriter {
 public:
  RowWriter(RowFormat format, std::string fingerprint, std::vector<std::string> keys);

  // The first line of the file with its newline; empty for JSON lines.
  const std::string& header() const { return header_; }
  const std::string& fingerprint() const { return fingerprint_; }
  std::string row(std::uint64_t point, const std::vector<const Value*>& values,
                  const PointResult& result) const;

  // What a summary and a resumed run need of a row.
  struct Parsed {
    std::string fingerprint;
    std::uint64_t point = 0;
    std::string status, reason;
    std::vector<std::string> values;  // of the keys
    double step_time = 0, tokens_per_second = 0, tokens_per_second_per_gpu = 0;
    double reserved = 0;
  };
  // Of a line without its newline; nothing when it is no row of such a sweep.
  std::optional<Parsed> parse(const std::string& line) const;
  const std::vector<std::string>& keys() const { return keys_; }

 private:
  RowFormat format_;
  std::string fingerprint_;
  std::vector<std::string> keys_;
  std::string header_;
};

// A value on one line, as it can be written in YAML: {name: dgx-h100, nodes: 2}.
std::string flow_text(const Value& v);

}  // namespace rehearse
