#include "sim/report/writers/text_table.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace rehearse {

std::size_t display_width(std::string_view utf8) {
  return static_cast<std::size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

std::string TextTable::to_string(std::string_view indent) const {
  std::vector<std::string> titles;
  std::vector<std::size_t> widths;
  for (const Column& column : columns_) {
    titles.push_back(column.title);
    widths.push_back(display_width(column.title));
  }
  for (const auto& row : rows_) {
    if (row.size() != columns_.size()) continue;  // a heading
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i]));
    }
  }
  std::string out;
  append_row(out, indent, titles, widths);
  for (const auto& row : rows_) append_row(out, indent, row, widths);
  return out;
}

void TextTable::append_row(std::string& out, std::string_view indent,
                           const std::vector<std::string>& cells,
                           const std::vector<std::size_t>& widths) const {
  std::string line(indent);
  if (cells.size() != columns_.size()) {
    line += cells.front();
  } else {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string padding(widths[i] - display_width(cells[i]), ' ');
      if (i > 0) line += "  ";
      line += columns_[i].align == Align::kRight ? padding + cells[i] : cells[i] + padding;
    }
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out += line;
  out += '\n';
}

std::string wrap(std::string_view first, std::string_view text) {
  const std::size_t indent = display_width(first);
  std::string out(first);
  std::size_t column = indent;
  bool line_empty = true;
  while (!text.empty()) {
    const std::size_t space = std::min(text.find_first_of(" \n"), text.size());
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
    if (word.empty()) continue;
    const std::size_t width = display_width(word);
    if (!line_empty && column + 1 + width > kTextWidth) {
      out += '\n';
      out.append(indent, ' ');
      column = indent;
      line_empty = true;
    }
    if (!line_empty) {
      out += ' ';
      ++column;
    }
    out += word;
    column += width;
    line_empty = false;
  }
  out += '\n';
  return out;
}

std::string format_percent(double fraction) { return fmt::format("{:.1f} %", 100 * fraction); }

}  // namespace rehearse
