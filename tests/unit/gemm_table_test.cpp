#include "hardware/gemm_table.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <stdexcept>

#include "hardware/table_bytes.hpp"

using namespace rehearse;

namespace {

// Two sizes an axis; log2(time / yardstick) is 0 but where m is 32: there 1 (twice the time).
GemmGrid small_grid() {
  GemmGrid grid;
  grid.m = {8, 32};
  grid.n = {64, 128};
  grid.k = {64, 128};
  grid.values = {0, 0, 0, 0, 4096, 4096, 4096, 4096};
  return grid;
}

const GemmMachine kMachine{1e12, 1e12, 10};

GemmWork product(std::int64_t m, std::int64_t n, std::int64_t k) {
  GemmWork w;
  w.m = m;
  w.n = n;
  w.k = k;
  return w;
}

double over_yardstick(const GemmGrid& grid, const GemmWork& w) {
  return GemmInterpolator(grid)(kMachine, w).total() /
         GemmYardstick(grid.tiling)(kMachine, w).total();
}

}  // namespace

TEST_CASE("a table's value applies on its grid point") {
  CHECK(over_yardstick(small_grid(), product(8, 64, 64)) == Approx(1));
  CHECK(over_yardstick(small_grid(), product(32, 128, 64)) == Approx(2));
}

TEST_CASE("between grid points the logarithm is linear in the logarithm of the size") {
  CHECK(over_yardstick(small_grid(), product(16, 100, 77)) == Approx(std::sqrt(2.0)));
}

TEST_CASE("beyond the grid the edge's value holds") {
  CHECK(over_yardstick(small_grid(), product(1024, 4096, 4096)) == Approx(2));
  CHECK(over_yardstick(small_grid(), product(1, 1, 1)) == Approx(1));
}

TEST_CASE("aligned queries do not see points that are not aligned") {
  GemmGrid grid = small_grid();
  grid.m = {8, 9, 32};
  grid.values.insert(grid.values.begin() + 4, 4, 8192);  // m = 9 takes four times as long
  CHECK(over_yardstick(grid, product(16, 64, 64)) == Approx(std::sqrt(2.0)));
  CHECK(over_yardstick(grid, product(9, 64, 64)) == Approx(4));
}

TEST_CASE("a table survives encoding") {
  GemmGrid grid = small_grid();
  grid.tiling = {{{128, 256}, {64, 64}}, {1, 4}, 0.25, 0.5, 3e-6};
  const GemmGrid read = decode_gemm_grid(encode(grid));
  CHECK(read.m == grid.m);
  CHECK(read.values == grid.values);
  CHECK(read.tiling.tiles.size() == 2);
  CHECK(read.tiling.tiles[0].columns == 256);
  CHECK(read.tiling.splits == grid.tiling.splits);
  CHECK(read.tiling.exponent == 0.25);
  CHECK(read.tiling.overhead_s == Approx(3e-6));
}

TEST_CASE("a damaged table is refused with the reason") {
  const std::string good = encode(small_grid());
  CHECK_THROWS_WITH(decode_gemm_grid("not a table at all"), "wrong magic");
  CHECK_THROWS_WITH(decode_gemm_grid(good.substr(0, good.size() - 1)), "it ends too early");
  CHECK_THROWS_WITH(decode_gemm_grid(good + "x"), "bytes left over");
  std::string huge = good;
  huge[8 + 4 * 2 + 3] = '\x7f';  // the count of m
  CHECK_THROWS_WITH(decode_gemm_grid(huge), "a count is out of range");
}

TEST_CASE("log2 values are kept to a few hundredths of a percent and clamped") {
  CHECK(encode_log2(1) == 4096);
  CHECK(encode_log2(-0.5) == -2048);
  CHECK(encode_log2(100) == 32767);
}

TEST_CASE("a split of k fills SMs that tiles alone leave idle") {
  // One 128 x 128 tile on 10 SMs with k 65536: eight splits take an eighth, and reduction.
  GemmTiling whole;
  whole.tiles = {{128, 128}};
  GemmTiling split = whole;
  split.splits = {1, 8};
  const GemmWork w = product(128, 128, 65536);
  const double alone = GemmYardstick(whole)(kMachine, w).compute_s;
  const double shared = GemmYardstick(split)(kMachine, w).compute_s;
  const double reduction = 128.0 * 128 * 4 * 8 / (2 * 1e12) + 1e-6;
  CHECK(shared == Approx(alone / 8 + reduction).epsilon(1e-12));
}

TEST_CASE("half quantised waves are the mean of whole and fractional ones") {
  // 15 tiles on 10 SMs: 2 whole waves or 1.5: 1.75.
  GemmTiling tiling;
  tiling.tiles = {{128, 128}};
  tiling.quantised = 0.5;
  const double wave = 2.0 * 128 * 128 * 64 / 1e11;
  CHECK(GemmYardstick(tiling)(kMachine, product(15 * 128, 128, 64)).compute_s ==
        Approx(1.75 * wave).epsilon(1e-12));
}
