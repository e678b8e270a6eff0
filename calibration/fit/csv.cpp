#include "calibration/fit/csv.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <sstream>
#include <stdexcept>

namespace rehearse {

namespace {

std::string read_text(const std::string& path) {
  // gzread passes plain files through.
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) throw std::runtime_error("cannot read '" + path + "'");
  std::string text;
  std::array<char, 1 << 16> buffer{};
  for (;;) {
    const int got = gzread(file.get(), buffer.data(), static_cast<unsigned>(buffer.size()));
    if (got < 0) throw std::runtime_error("'" + path + "' is damaged");
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> out;
  std::istringstream in(line);
  for (std::string cell; std::getline(in, cell, ',');) out.push_back(cell);
  return out;
}

std::vector<double> numbers(const std::string& line, const std::string& place) {
  std::vector<double> out;
  for (const std::string& cell : cells(line)) {
    double value = 0;
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (error != std::errc() || end != cell.data() + cell.size()) {
      throw std::runtime_error(place + ": '" + cell + "' is not a number");
    }
    out.push_back(value);
  }
  return out;
}

}  // namespace

std::size_t NumberTable::column(const std::string& name) const {
  const auto found = std::find(columns.begin(), columns.end(), name);
  if (found == columns.end()) throw std::runtime_error("there is no column '" + name + "'");
  return static_cast<std::size_t>(found - columns.begin());
}

NumberTable read_numbers(const std::string& path) {
  std::istringstream in(read_text(path));
  NumberTable table;
  std::string line;
  std::size_t at = 1;
  if (std::getline(in, line)) table.columns = cells(line);
  while (std::getline(in, line)) {
    const std::string place = path + ":" + std::to_string(++at);
    if (line.empty()) continue;
    table.rows.push_back(numbers(line, place));
    if (table.rows.back().size() != table.columns.size()) {
      throw std::runtime_error(place + ": wrong number of cells");
    }
  }
  return table;
}

}  // namespace rehearse
