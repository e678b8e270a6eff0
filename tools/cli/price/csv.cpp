#include "tools/cli/price/csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <set>

namespace rehearse {
namespace {

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      cells.back() += c;
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  return cells;
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

Csv read_csv(const std::string& path) {
  Csv csv;
  csv.file = path == "-" ? "standard input" : path;
  std::ifstream file;
  if (path != "-") {
    file.open(path);
    if (!file) throw UserError(Mark{path, 0, 0}, "cannot read the file");
  }
  std::istream& in = path == "-" ? std::cin : file;
  Diagnostics diagnostics;
  std::string text;
  for (int line = 1; std::getline(in, text); ++line) {
    if (!text.empty() && text.back() == '\r') text.pop_back();
    if (trimmed(text).empty() || text.starts_with('#')) continue;
    std::vector<std::string> cells = split(text);
    for (std::string& cell : cells) cell = trimmed(cell);
    if (csv.columns.empty()) {
      csv.columns = std::move(cells);
      std::set<std::string> seen;
      for (const std::string& column : csv.columns) {
        if (!seen.insert(column).second) {
          diagnostics.add({csv.file, line, 1}, fmt::format("column '{}' twice", column));
        }
      }
    } else if (cells.size() != csv.columns.size()) {
      diagnostics.add({csv.file, line, 1},
                      fmt::format("{} cells under {} columns", cells.size(), csv.columns.size()));
    } else {
      csv.rows.push_back({line, std::move(cells)});
    }
  }
  if (in.bad()) throw UserError(Mark{csv.file, 0, 0}, "cannot read the file");
  if (csv.columns.empty()) diagnostics.add({csv.file, 0, 0}, "no header line");
  diagnostics.throw_if_any();
  return csv;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace rehearse
