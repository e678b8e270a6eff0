#include "sim/base/suggest.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>

namespace rehearse {
namespace {

std::string folded(std::string_view s) {
  std::string out;
  for (const char c : s) {
    if (c == '-' || c == '_') continue;
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

// Damerau-Levenshtein distance in its restricted form (optimal string alignment): insertions,
// deletions, substitutions and swaps of neighbours, each of cost 1. Three rows of the usual table.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitution = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, substitution});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

}  // namespace

std::string nearest_name(std::string_view given, std::span<const std::string> candidates) {
  const std::string wanted = folded(given);
  // A pasted blob is no misspelling, and its distance would cost time.
  if (wanted.size() > 200) return {};
  std::string best;
  std::size_t best_distance = 0;
  for (const std::string& candidate : candidates) {
    const std::string name = folded(candidate);
    const std::size_t d = distance(wanted, name);
    if (3 * d > std::max(wanted.size(), name.size())) continue;
    if (best.empty() || d < best_distance) {
      best = candidate;
      best_distance = d;
    }
  }
  return best;
}

std::string suggestion(std::string_view given, std::span<const std::string> candidates) {
  constexpr std::size_t kFew = 12;
  const std::string nearest = nearest_name(given, candidates);
  if (!nearest.empty()) return "did you mean '" + nearest + "'?";
  if (candidates.empty() || candidates.size() > kFew) return {};
  std::string text = candidates.size() == 1 ? "only " : "one of ";
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (i > 0) text += ", ";
    text += candidates[i];
  }
  return text;
}

}  // namespace rehearse
