#include "tools/cli/sweep/row.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "sim/base/error.hpp"
#include "sim/base/units.hpp"

namespace rehearse {
namespace {

using Json = nlohmann::ordered_json;

double of(Bytes b) { return static_cast<double>(b.value); }

// What has no price or power is an empty cell, not 0.
double known(double value) { return value > 0 ? value : std::numeric_limits<double>::quiet_NaN(); }

TrainingRun million_tokens(const Evaluation& e) {
  return training_run(e.economics, 1e6, e.tokens_per_second, e.gpus);
}

constexpr ResultColumn kColumns[] = {
    {"gpus", [](const Evaluation& e) { return static_cast<double>(e.gpus); }},
    {"step_time_s", [](const Evaluation& e) { return e.step_time.value; }},
    {"tokens_per_second", [](const Evaluation& e) { return e.tokens_per_second; }},
    {"tokens_per_second_per_gpu", [](const Evaluation& e) { return e.tokens_per_second_per_gpu; }},
    {"model_tflops_per_gpu", [](const Evaluation& e) { return e.model_tflops_per_gpu; }},
    {"mfu", [](const Evaluation& e) { return e.mfu; }},
    {"mfu_causal", [](const Evaluation& e) { return e.mfu_causal; }},
    {"hfu", [](const Evaluation& e) { return e.hfu; }},
    {"peak_memory_bytes", [](const Evaluation& e) { return of(e.peak_memory); }},
    {"peak_reserved_bytes", [](const Evaluation& e) { return of(e.peak_reserved); }},
    {"memory_overhead_bytes", [](const Evaluation& e) { return of(e.memory_overhead); }},
    {"power_per_gpu_w", [](const Evaluation& e) { return known(e.economics.power.value); }},
    {"energy_per_million_tokens_j",
     [](const Evaluation& e) { return known(million_tokens(e).joules); }},
    {"cost_per_million_tokens", [](const Evaluation& e) { return known(million_tokens(e).cost); }},
    {"memory_capacity_bytes", [](const Evaluation& e) { return of(e.memory_capacity); }},
};

constexpr std::array<std::string_view, 4> kStatus{"ok", "out_of_memory", "infeasible", "failed"};

bool has_results(PointStatus s) { return s == PointStatus::kOk || s == PointStatus::kOutOfMemory; }

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c == '\n' || c == '\r' ? ' ' : c;
  }
  return out + "\"";
}

// A whole number has no decimal point: 512, 53900000000.
std::string number_text(double x) {
  if (x == std::floor(x) && std::abs(x) < 9e15)
    return fmt::format("{}", static_cast<std::int64_t>(x));
  return fmt::format("{}", x);
}

std::optional<std::vector<std::string>> csv_cells(const std::string& line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      cells.back() += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  if (quoted) return std::nullopt;
  return cells;
}

Json json_value(const Value& v) {
  if (v.is_null()) return nullptr;
  if (!v.is_scalar() || v.as_scalar().quoted) return flow_text(v);
  const std::string& text = v.as_scalar().text;
  if (text == "true" || text == "false") return text == "true";
  const auto n = parse_number(text);
  if (!n || !std::isfinite(*n)) return text;
  if (*n == std::floor(*n) && std::abs(*n) < 9e15) return static_cast<std::int64_t>(*n);
  return *n;
}

Json json_number(double x) {
  if (!std::isfinite(x)) return nullptr;
  if (x == std::floor(x) && std::abs(x) < 9e15) return static_cast<std::int64_t>(x);
  return x;
}

double number_of(const std::string& text) { return parse_number(text).value_or(0); }

}  // namespace

std::string_view to_string(PointStatus s) { return kStatus[static_cast<std::size_t>(s)]; }

RowFormat row_format_of(const std::string& path) {
  if (path.ends_with(".csv")) return RowFormat::kCsv;
  if (path.ends_with(".jsonl")) return RowFormat::kJsonLines;
  throw UserError({}, fmt::format("--out '{}' ends neither in .csv nor in .jsonl", path),
                  "such as results.csv");
}

std::string flow_text(const Value& v) {
  if (v.is_null()) return "";
  if (v.is_scalar()) return v.as_scalar().text;
  std::string out;
  if (v.is_list()) {
    for (const Value& item : v.as_list()) out += (out.empty() ? "" : ", ") + flow_text(item);
    return "[" + out + "]";
  }
  for (const auto& [key, value] : v.as_map())
    out += (out.empty() ? "" : ", ") + key + ": " + flow_text(value);
  return "{" + out + "}";
}

RowWriter::RowWriter(RowFormat format, std::string fingerprint, std::vector<std::string> keys)
    : format_(format), fingerprint_(std::move(fingerprint)), keys_(std::move(keys)) {
  if (format_ == RowFormat::kJsonLines) return;
  header_ = "sweep,point";
  for (const std::string& key : keys_) header_ += "," + csv_cell(key);
  header_ += ",status,reason";
  for (const ResultColumn& c : kColumns) header_ += fmt::format(",{}", c.name);
  header_ += "\n";
}

std::string RowWriter::row(std::uint64_t point, const std::vector<const Value*>& values,
                           const PointResult& result) const {
  const bool results = has_results(result.status);
  if (format_ == RowFormat::kCsv) {
    std::string out = fmt::format("{},{}", fingerprint_, point);
    for (const Value* v : values) out += "," + csv_cell(flow_text(*v));
    out += fmt::format(",{},{}", to_string(result.status), csv_cell(result.reason));
    for (const ResultColumn& c : kColumns) {
      const double x =
          results ? c.value(result.evaluation) : std::numeric_limits<double>::quiet_NaN();
      out += "," + (std::isfinite(x) ? number_text(x) : std::string());
    }
    return out + "\n";
  }
  Json json{{"sweep", fingerprint_}, {"point", point}};
  for (std::size_t i = 0; i < keys_.size(); ++i) json[keys_[i]] = json_value(*values[i]);
  json["status"] = to_string(result.status);
  json["reason"] = result.reason;
  for (const ResultColumn& c : kColumns)
    json[std::string(c.name)] = results ? json_number(c.value(result.evaluation)) : Json(nullptr);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::optional<RowWriter::Parsed> RowWriter::parse(const std::string& line) const {
  std::vector<std::string> cells;
  if (format_ == RowFormat::kCsv) {
    auto parts = csv_cells(line);
    if (!parts) return std::nullopt;
    cells = std::move(*parts);
  } else {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) return std::nullopt;
    for (const auto& [key, v] : json.items())
      cells.push_back(v.is_string() ? v.get<std::string>() : v.is_null() ? "" : v.dump());
  }
  if (cells.size() != keys_.size() + 4 + std::size(kColumns)) return std::nullopt;
  Parsed out;
  out.fingerprint = cells[0];
  const auto point = parse_number(cells[1]);
  if (!point || *point < 0) return std::nullopt;
  out.point = static_cast<std::uint64_t>(*point);
  const std::size_t status = 2 + keys_.size();
  out.values.assign(cells.begin() + 2, cells.begin() + static_cast<std::ptrdiff_t>(status));
  out.status = cells[status];
  out.reason = cells[status + 1];
  for (std::size_t i = 0; i < std::size(kColumns); ++i) {
    const std::string_view name = kColumns[i].name;
    const double x = number_of(cells[status + 2 + i]);
    if (name == "step_time_s") out.step_time = x;
    if (name == "tokens_per_second") out.tokens_per_second = x;
    if (name == "tokens_per_second_per_gpu") out.tokens_per_second_per_gpu = x;
    if (name == "peak_reserved_bytes" || name == "memory_overhead_bytes") out.reserved += x;
  }
  return out;
}

}  // namespace rehearse
