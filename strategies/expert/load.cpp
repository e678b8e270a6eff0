#include "strategies/expert/load.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace rehearse {
namespace {

// splitmix64 (Steele et al. 2014): the same numbers on every machine.
std::uint64_t next(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15U;
  std::uint64_t z = state;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

std::vector<double> shares_of(const ExpertLoad& load, std::int64_t experts) {
  std::vector<double> shares(static_cast<std::size_t>(experts), 1);
  if (load.distribution == LoadDistribution::kUniform) return shares;
  for (std::size_t i = 0; i < shares.size(); ++i)
    shares[i] = std::pow(static_cast<double>(i + 1), -load.exponent);
  auto state = static_cast<std::uint64_t>(load.seed);
  for (std::size_t i = shares.size(); i > 1; --i) std::swap(shares[i - 1], shares[next(state) % i]);
  return shares;
}

}  // namespace

std::vector<std::int64_t> expert_rows(const ExpertLoad& load, std::int64_t rows,
                                      std::int64_t tokens, std::int64_t experts) {
  std::vector<double> shares = shares_of(load, experts);
  std::vector<std::int64_t> out(shares.size(), 0);
  std::int64_t left = rows;
  // What is too much for the most wanted goes to the others in proportion.
  while (left > 0) {
    double open = 0;
    for (std::size_t i = 0; i < out.size(); ++i) open += out[i] < tokens ? shares[i] : 0;
    if (open <= 0) break;
    const std::int64_t now = left;
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (out[i] >= tokens) continue;
      const auto wanted =
          static_cast<std::int64_t>(std::floor(static_cast<double>(now) * shares[i] / open));
      const std::int64_t given = std::min(wanted, tokens - out[i]);
      out[i] += given;
      left -= given;
    }
    if (left == now) {  // less than one row each: to experts that lie apart, on as many ranks
      const std::size_t apart = out.size() / static_cast<std::size_t>(left);
      for (std::size_t first = 0; first < apart; ++first)
        for (std::size_t i = first; i < out.size() && left > 0; i += apart)
          if (out[i] < tokens) {
            ++out[i];
            --left;
          }
    }
  }
  return out;
}

// calibration/results/h200-sxm/expert_rows.csv, seven models on one repeated batch, steps 12 to 19,
// which are those that benchmarks time after warming up: how far numbers of rows spread, over what
// tokens that choose independently give (1.6 to 13; the geometric mean).
constexpr double kBenchmarkSteps = 15.5, kBenchmarkSpread = 2.8;

// Rows spread as a normal distribution does, and every expert and step draws anew: a number of rows
// that is drawn with probability p is new after n draws with (1 - p)^n.
double unseen_rows(std::int64_t rows, std::int64_t tokens, std::int64_t experts) {
  const double p = static_cast<double>(rows) / static_cast<double>(tokens);
  const double sigma = kBenchmarkSpread * std::sqrt(static_cast<double>(rows) * (1 - p));
  if (!(sigma > 0)) return 0;  // every token goes to every expert
  const double draws = kBenchmarkSteps * static_cast<double>(experts);
  constexpr double kEnd = 5, kStep = 0.05;
  double out = 0;
  for (double z = -kEnd; z <= kEnd; z += kStep) {
    const double density = std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi);
    out += kStep * density * std::exp(-draws * density / sigma);
  }
  return std::min(out, 1.0);
}

std::vector<std::int64_t> fullest_rank(const std::vector<std::int64_t>& rows, int ranks) {
  const std::size_t each = rows.size() / static_cast<std::size_t>(ranks);
  std::size_t best = 0;
  std::int64_t most = -1;
  for (std::size_t r = 0; r < static_cast<std::size_t>(ranks); ++r) {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(r * each);
    const std::int64_t sum =
        std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(each), std::int64_t{0});
    if (sum > most) {
      most = sum;
      best = r;
    }
  }
  const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(best * each);
  return {begin, begin + static_cast<std::ptrdiff_t>(each)};
}

}  // namespace rehearse
