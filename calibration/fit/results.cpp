#include "calibration/fit/results.hpp"

#include <charconv>
#include <sstream>
#include <stdexcept>

#include "calibration/fit/section.hpp"

namespace rehearse {

namespace {

// Cells of a CSV line; names of kernels have commas and are quoted.
std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> out(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      out.emplace_back();
    } else if (c != '\r') {
      out.back().push_back(c);
    }
  }
  return out;
}

std::map<std::string, std::string> key_values(const std::string& text) {
  std::map<std::string, std::string> out;
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    const std::size_t equals = word.find('=');
    if (equals != std::string::npos) out[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return out;
}

double number_of(const std::string& text, const std::string& place) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw std::runtime_error(place + ": '" + text + "' is not a number");
  }
  return value;
}

}  // namespace

std::int64_t MeasuredCall::number(const std::string& parameter) const {
  const auto found = parameters.find(parameter);
  if (found == parameters.end()) {
    throw std::runtime_error("a call of '" + op + "' has no '" + parameter + "'");
  }
  return static_cast<std::int64_t>(number_of(found->second, op + ": " + parameter));
}

std::vector<MeasuredCall> read_calls(const std::string& path) {
  std::istringstream in(read_file(path));
  std::string line;
  std::getline(in, line);
  std::map<std::string, std::size_t> column;
  for (const std::string& name : cells(line)) column.emplace(name, column.size());
  const auto at = [&](const std::vector<std::string>& row, const char* name) -> const std::string& {
    const auto found = column.find(name);
    if (found == column.end()) throw std::runtime_error(path + ": no column " + name);
    return row.at(found->second);
  };
  std::vector<MeasuredCall> calls;
  for (std::size_t number = 2; std::getline(in, line); ++number) {
    const std::vector<std::string> row = cells(line);
    const std::string place = path + ":" + std::to_string(number);
    if (row.size() != column.size()) throw std::runtime_error(place + ": wrong number of cells");
    if (at(row, "index") == "0" || calls.empty()) {
      calls.push_back({at(row, "op"), at(row, "dtype"), at(row, "direction"),
                       key_values(at(row, "parameters")), 0});
    }
    if (at(row, "kernel").rfind("Memset", 0) == 0) continue;
    calls.back().microseconds += number_of(at(row, "median_us"), place);
  }
  return calls;
}

GemmWork work_of(const MeasuredCall& call, GemmLayout layout) {
  const std::int64_t m = call.number("m"), n = call.number("n"), k = call.number("k");
  GemmWork w;
  w.layout = layout;
  w.m = layout == GemmLayout::kWgrad ? n : m;
  w.n = layout == GemmLayout::kForward ? n : k;
  w.k = layout == GemmLayout::kForward ? k : layout == GemmLayout::kDgrad ? n : m;
  w.bias = layout == GemmLayout::kForward && call.number("bias") == 1;
  return w;
}

}  // namespace rehearse
