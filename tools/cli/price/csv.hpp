#pragma once

#include <string>
#include <vector>

#include "sim/base/error.hpp"

namespace rehearse {

// A CSV file as text: a header and rows of as many cells. Cells may be quoted; a blank line and a
// line that begins with # are skipped.
struct Csv {
  struct Row {
    int line = 0;
    std::vector<std::string> cells;
  };
  std::string file;
  std::vector<std::string> columns;
  std::vector<Row> rows;
};

// Throws UserError: unreadable, no header, a column twice, rows of other lengths.
Csv read_csv(const std::string& path);
// A cell as it is written: quoted where it must be.
std::string csv_cell(const std::string& text);

}  // namespace rehearse
