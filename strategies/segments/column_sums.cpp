#include "strategies/segments/column_sums.hpp"

#include <algorithm>
#include <bit>

namespace rehearse {
namespace {

constexpr std::int64_t kThreads = 512, kWarp = 32;
// Rows that a thread adds where blocks share them, at least, and where they do not, at most.
constexpr std::int64_t kLeastRows = 16, kMostRows = 256;

std::int64_t rounded_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::int64_t power_of_two_within(std::int64_t n, std::int64_t most) {
  return static_cast<std::int64_t>(
      std::bit_floor(static_cast<std::uint64_t>(std::clamp<std::int64_t>(n, 1, most))));
}

}  // namespace

std::vector<Bytes> column_sum_buffers(std::int64_t rows, std::int64_t columns,
                                      const Multiprocessors& gpu) {
  // A thread sums as many neighbouring columns as it can load at once.
  const std::int64_t neighbours = columns % 4 == 0 ? 4 : columns % 2 == 0 ? 2 : 1;
  const std::int64_t threads = kThreads / neighbours;
  const std::int64_t across = power_of_two_within(columns / neighbours, threads);
  const std::int64_t down = power_of_two_within(rows, threads);
  std::int64_t width = std::min(across, kWarp);
  const std::int64_t height = std::min(down, threads / width);
  width = std::min(across, threads / height);
  if (rows < height * kLeastRows && rows < kMostRows) return {};
  const std::int64_t each = rounded_up(rows, height);
  const std::int64_t groups = rounded_up(columns / neighbours, width);
  const std::int64_t blocks = gpu.count * (gpu.threads / (width * height));
  if (each < kMostRows || groups > blocks) return {};
  const std::int64_t shares =
      std::max(std::min(rounded_up(blocks, groups), rounded_up(each, kLeastRows)),
               rounded_up(each, kMostRows));
  if (shares < 2) return {};
  return {Bytes(4 * columns * shares * width * neighbours), Bytes(4 * groups)};
}

}  // namespace rehearse
