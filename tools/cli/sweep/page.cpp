#include "tools/cli/sweep/page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sim/report/writers/page.hpp"
#include "tools/cli/price/csv.hpp"
#include "tools/cli/sweep/row.hpp"

namespace rehearse {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostRows = 20'000;

// A CSV cell as JSON: a number where all of it is one.
Json cell_value(const std::string& text) {
  if (text.empty()) return nullptr;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) return number;
  if (text == "true" || text == "false") return text == "true";
  return text;
}

std::vector<Json> read_rows(const std::string& path) {
  std::vector<Json> rows;
  if (row_format_of(path) == RowFormat::kCsv) {
    const Csv csv = read_csv(path);
    for (const Csv::Row& row : csv.rows) {
      if (rows.size() == kMostRows) break;
      Json object = Json::object();
      for (std::size_t i = 0; i < row.cells.size(); ++i)
        object[csv.columns[i]] = cell_value(row.cells[i]);
      rows.push_back(std::move(object));
    }
    return rows;
  }
  std::ifstream file(path);
  for (std::string line; rows.size() < kMostRows && std::getline(file, line);)
    if (!line.empty()) rows.push_back(Json::parse(line));
  return rows;
}

}  // namespace

std::string sweep_report_page(const std::string& results, const std::vector<std::string>& keys) {
  std::vector<Json> rows = read_rows(results);
  PageSweep page;
  page.title = std::filesystem::path(results).filename().string();
  page.keys = keys;
  if (!rows.empty())
    for (const auto& [name, value] : rows.front().items())
      if (name != "sweep") page.columns.push_back(name);
  page.columns.push_back("fits_in_memory");
  for (Json& row : rows) {
    row["fits_in_memory"] = row.value("status", "") == to_string(PointStatus::kOk);
    std::vector<std::string> cells;
    for (const std::string& column : page.columns) {
      const Json& cell = row.contains(column) ? row[column] : Json();
      const bool shown_as_text = cell.is_object() || cell.is_array();
      cells.push_back(shown_as_text ? Json(cell.dump()).dump() : cell.dump());
    }
    page.rows.push_back(std::move(cells));
  }
  return sweep_page(page);
}

}  // namespace rehearse
