#pragma once

#include <string>
#include <vector>

namespace rehearse {

// A table of numbers with named columns.
struct NumberTable {
  std::vector<std::string> columns;
  std::vector<std::vector<double>> rows;

  // Throws std::runtime_error when there is no such column.
  std::size_t column(const std::string& name) const;
};

// Reads a CSV file, plain or gzipped, whose cells are all numbers. Throws std::runtime_error with
// the path and line of what is wrong.
NumberTable read_numbers(const std::string& path);

}  // namespace rehearse
