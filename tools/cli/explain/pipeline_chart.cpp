#include "tools/cli/explain/pipeline_chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "sim/base/format.hpp"
#include "sim/base/sim_time.hpp"

namespace rehearse {
namespace {

constexpr int kMostStrips = 8;

struct Look {
  const char* name;
  char fill[2];         // of even and odd chunks
  const char* ansi[2];  // SGR parameters
};

const Look& look_of(BarKind kind) {
  static constexpr Look kLooks[] = {
      {"forward", {'.', ':'}, {"30;44", "30;104"}},
      {"backward", {'=', '%'}, {"30;42", "30;102"}},
      {"backward, inputs", {'-', '+'}, {"30;46", "30;106"}},
      {"backward, weights", {'~', '^'}, {"30;43", "30;103"}},
      {"optimizer", {'#', '#'}, {"30;47", "30;47"}},
  };
  return kLooks[static_cast<std::size_t>(kind)];
}

struct Scale {
  std::int64_t begin = 0, end = 0;
  std::int64_t column = 1;  // picoseconds
  std::int64_t columns() const { return (end - begin + column - 1) / column; }
};

Scale scale_of(const std::vector<ChartRow>& rows, std::int64_t width) {
  std::vector<std::int64_t> forwards;
  Scale s{INT64_MAX, INT64_MIN, 1};
  for (const ChartRow& row : rows)
    for (const ChartBar& b : row.bars) {
      s.begin = std::min(s.begin, b.begin);
      s.end = std::max(s.end, b.end);
      if (b.kind == BarKind::kForward) forwards.push_back(b.end - b.begin);
    }
  if (s.begin > s.end) return {0, 1, 1};
  const std::int64_t whole = std::max<std::int64_t>(1, s.end - s.begin);
  std::int64_t legible = whole;
  if (!forwards.empty()) {
    const auto middle = forwards.begin() + static_cast<std::ptrdiff_t>(forwards.size() / 2);
    std::nth_element(forwards.begin(), middle, forwards.end());
    legible = std::max<std::int64_t>(1, *middle / 2);
  }
  const auto over = [&](std::int64_t columns) { return (whole + columns - 1) / columns; };
  s.column = std::clamp(legible, over(width * kMostStrips),
                        std::max(over(width), over(width * kMostStrips)));
  return s;
}

struct Cell {
  char text = ' ';
  const ChartBar* bar = nullptr;
};

// Each column shows the bar that fills most of it, if one fills half.
std::vector<Cell> cells_of(const ChartRow& row, const Scale& s) {
  std::vector<Cell> out(static_cast<std::size_t>(s.columns()));
  std::vector<std::int64_t> covered(out.size(), s.column / 2);
  for (const ChartBar& b : row.bars) {
    const auto last =
        static_cast<std::size_t>(std::max<std::int64_t>(b.begin, b.end - 1) - s.begin) /
        static_cast<std::size_t>(s.column);
    for (auto c = static_cast<std::size_t>((b.begin - s.begin) / s.column);
         c <= last && c < out.size(); ++c) {
      const std::int64_t from = s.begin + static_cast<std::int64_t>(c) * s.column;
      const std::int64_t here = std::min(b.end, from + s.column) - std::max(b.begin, from);
      if (here < covered[c]) continue;
      covered[c] = here;
      out[c] = {look_of(b.kind).fill[b.chunk % 2], &b};
    }
  }
  for (std::size_t c = 0; c < out.size();) {
    std::size_t end = c + 1;
    while (end < out.size() && out[end].bar == out[c].bar) ++end;
    if (out[c].bar != nullptr && out[c].bar->kind != BarKind::kOptimizer) {
      const std::string number = std::to_string(out[c].bar->micro_batch);
      const std::size_t n = std::min(number.size(), end - c);
      for (std::size_t i = 0; i < n; ++i) out[c + i].text = number[number.size() - n + i];
    }
    c = end;
  }
  return out;
}

std::string painted(std::string_view text, const ChartBar* bar, bool colour) {
  if (bar == nullptr || !colour) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", look_of(bar->kind).ansi[bar->chunk % 2], text);
}

std::string strip_of(const std::vector<Cell>& cells, std::size_t from, std::size_t to,
                     bool colour) {
  std::string out;
  for (std::size_t c = from; c < to;) {
    std::size_t end = c;
    std::string text;
    for (; end < to && cells[end].bar == cells[c].bar; ++end) text += cells[end].text;
    out += painted(text, cells[c].bar, colour);
    c = end;
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

std::string axis(const Scale& s, std::size_t from, std::size_t to, std::size_t margin) {
  std::string out(margin, ' ');
  constexpr std::size_t kEvery = 20;
  for (std::size_t c = from; c < to; c += kEvery) {
    const std::string mark = fmt::format(
        "|{}", format_seconds(SimTime(static_cast<std::int64_t>(c) * s.column).seconds()));
    if (c + mark.size() > to) break;
    out += fmt::format("{:<{}}", mark, kEvery);
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return out + "\n";
}

std::string legend(const std::vector<ChartRow>& rows, const ChartStyle& style) {
  std::set<std::pair<BarKind, int>> seen;
  for (const ChartRow& row : rows)
    for (const ChartBar& b : row.bars) seen.insert({b.kind, b.chunk % 2});
  std::string out;
  std::size_t column = 0;
  for (const auto& [kind, odd] : seen) {
    const ChartBar bar{0, 0, kind, 0, odd};
    const bool chunks = seen.contains({kind, 1 - odd});
    const std::string text = fmt::format("{}{}", look_of(kind).name,
                                         !chunks    ? ""
                                         : odd == 1 ? ", odd chunks"
                                                    : ", even chunks");
    const std::string key =
        kind == BarKind::kOptimizer ? "###" : fmt::format("0{0}{0}", look_of(kind).fill[odd]);
    if (column > 0 &&
        column + key.size() + text.size() + 4 > static_cast<std::size_t>(style.width)) {
      out += "\n";
      column = 0;
    }
    out += (column > 0 ? "   " : "") + painted(key, &bar, style.colour) + " " + text;
    column += key.size() + text.size() + 4;
  }
  return out + "\n";
}

}  // namespace

std::string pipeline_chart(const std::vector<ChartRow>& rows, const ChartStyle& style) {
  std::size_t margin = 0;
  for (const ChartRow& row : rows) margin = std::max(margin, row.label.size() + 1);
  const auto width = static_cast<std::size_t>(std::max(20, style.width));
  const std::size_t room = std::max<std::size_t>(10, width - std::min(width, margin));
  const Scale s = scale_of(rows, static_cast<std::int64_t>(room));
  std::vector<std::vector<Cell>> cells;
  for (const ChartRow& row : rows) cells.push_back(cells_of(row, s));
  std::string out;
  const auto columns = static_cast<std::size_t>(s.columns());
  for (std::size_t from = 0; from < columns; from += room) {
    const std::size_t to = std::min(columns, from + room);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      std::string line =
          fmt::format("{:<{}}", rows[r].label, margin) + strip_of(cells[r], from, to, style.colour);
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + "\n";
    }
    out += axis(s, from, to, margin);
  }
  return out + legend(rows, style);
}

}  // namespace rehearse
