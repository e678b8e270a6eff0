#include <fmt/format.h>

#include "sim/base/error.hpp"
#include "sim/config/reader.hpp"
#include "tools/cli/measured.hpp"

namespace rehearse {
namespace {

// A table: every row is the scenario that all share with the row's cells set, as --set sets them.
struct Table {
  Value scenario;
  std::vector<std::string> columns;
  std::vector<std::string> rank_within;  // columns whose values make plans comparable
  Value::List rows;
};

Table read_table(const Value& tree) {
  Diagnostics errors;
  Reader r(tree, "", errors);
  const std::vector<std::string> about{"source", "assumed", "models"};
  r.ignore(about);
  Table out;
  out.scenario = r.raw("scenario");
  if (!out.scenario.is_map()) r.error("scenario", "expected a mapping: what every run has");
  out.columns = r.list<std::string>("columns");
  out.rank_within = r.list<std::string>("rank_within");
  const Value& runs = r.raw("runs");
  if (runs.is_list()) out.rows = runs.as_list();
  if (out.columns.empty()) r.error("columns", "expected the list of the rows' columns");
  if (out.rows.empty()) r.error("runs", "the file has no measured runs");
  r.finish();
  errors.throw_if_any();
  return out;
}

std::string text_of(const Value& v) {
  if (v.is_scalar()) return v.as_scalar().text;
  if (v.is_map()) {
    std::string out;
    for (const auto& [key, value] : v.as_map()) out += key + "=" + text_of(value) + " ";
    return out;
  }
  return "";
}

// The columns that are not part of the scenario.
void read_measurement(Reader& r, MeasuredRun& out, std::optional<double>& tokens) {
  out.name = r.required<std::string>("name");
  out.series = r.optional<std::string>("series", "");
  out.refused = r.optional<std::string>("beyond", "");
  if (const auto step = r.maybe<double>("measured.step_time_s")) out.step = Seconds(*step);
  tokens = r.maybe<double>("measured.tokens_per_second_per_gpu");
  out.peak = r.maybe<Bytes>("measured.peak_memory");
  out.reserved = r.maybe<Bytes>("measured.peak_reserved");
  out.out_of_memory = r.optional<bool>("measured.out_of_memory", false);
  if (!out.step && !tokens && !out.peak && !out.out_of_memory)
    r.error("name", "the run has neither a step time nor tokens a second nor a peak of memory");
}

Value cells_of(const Table& table, const Value& row) {
  if (!row.is_list() || row.as_list().size() != table.columns.size())
    throw UserError(row.mark(), fmt::format("expected a row of {} cells", table.columns.size()));
  Value::Map cells;
  for (std::size_t i = 0; i < table.columns.size(); ++i)
    cells.emplace_back(table.columns[i], row.as_list()[i]);
  return Value::map(std::move(cells), row.mark());
}

bool is_measurement(const std::string& column) {
  return column == "name" || column == "series" || column == "beyond" ||
         column.starts_with("measured.");
}

std::int64_t gpus_of(const Scenario& s) {
  Diagnostics errors;
  Reader r(s.cluster, "cluster", errors);
  return r.count("gpus_per_node", 1) * r.count("nodes", 1);
}

MeasuredRun run_of(const Table& table, const Value& row) {
  const Value cells = cells_of(table, row);
  Diagnostics errors;
  Reader r(cells, "run", errors);
  MeasuredRun out;
  std::optional<double> tokens;
  read_measurement(r, out, tokens);
  errors.throw_if_any();
  Value tree = table.scenario;
  for (const auto& [column, cell] : cells.as_map())
    if (!is_measurement(column) && !cell.is_null()) set_override(tree, column, cell);
  for (const std::string& column : table.rank_within)
    if (const Value* cell = cells.find(column)) out.rivals += text_of(*cell) + "/";
  if (!out.refused.empty()) return out;
  try {
    out.scenario = read_scenarios(tree, out.name);
  } catch (const UserError& e) {  // what this version cannot simulate, by name
    out.refused = e.diagnostics().front().message;
    return out;
  }
  const Scenario& s = out.scenario.front();
  if (tokens && !out.step)
    out.step = Seconds(static_cast<double>(s.training.global_batch_size) *
                       static_cast<double>(s.training.sequence_length) /
                       (*tokens * static_cast<double>(gpus_of(s))));
  return out;
}

}  // namespace

std::vector<MeasuredRun> read_published(const std::string& path) {
  const Table table = read_table(parse_file(path));
  std::vector<MeasuredRun> out;
  Diagnostics errors;
  for (const Value& row : table.rows) {
    try {
      out.push_back(run_of(table, row));
    } catch (const UserError& e) {
      errors.add(e);
    }
  }
  errors.throw_if_any();
  return out;
}

}  // namespace rehearse
