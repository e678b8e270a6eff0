#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rehearse {

inline constexpr std::size_t kTextWidth = 100;

// A table for a terminal: a header, rows, columns as wide as their widest cell and two spaces
// apart. Cells are UTF-8; a column is as wide as it has code points. No trailing spaces.
class TextTable {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kRight;
  };

  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void add_row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  // A line of text between the rows, as wide as it likes.
  void add_heading(std::string text) { rows_.push_back({std::move(text)}); }
  std::string to_string(std::string_view indent) const;

 private:
  void append_row(std::string& out, std::string_view indent, const std::vector<std::string>& cells,
                  const std::vector<std::size_t>& widths) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

std::size_t display_width(std::string_view utf8);

// Breaks text at spaces so that no line is wider than kTextWidth where a space allows it.
// The first line starts with `first`, the others with as many spaces. Ends with a newline.
std::string wrap(std::string_view first, std::string_view text);

// "41.6 %" of a fraction.
std::string format_percent(double fraction);

}  // namespace rehearse
