// What PyTorch's sum over rows allocates, against what its allocator was asked for on H200
// (calibration/results/h200-sxm/allocations.gpt2-124m.ddp-dp1.s1024.mb16x1.amp.csv.gz): gradients
// of biases of 768, 2,304 and 3,072 elements over 16 sequences of 1,024.

#include "strategies/segments/column_sums.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/strategy_fixture.hpp"

namespace rehearse {
namespace {

constexpr Multiprocessors kH200{132, 2048};

std::vector<std::int64_t> buffers(std::int64_t rows, std::int64_t columns,
                                  const Multiprocessors& gpu = kH200) {
  std::vector<std::int64_t> out;
  for (Bytes b : column_sum_buffers(rows, columns, gpu)) out.push_back(b.value);
  return out;
}

using Sizes = std::vector<std::int64_t>;

TEST_CASE("column sums: buffers are those that PyTorch asked for") {
  CHECK(buffers(16384, 768) == Sizes{100663296, 24});
  CHECK(buffers(16384, 2304) == Sizes{139198464, 72});
  CHECK(buffers(16384, 3072) == Sizes{138412032, 96});
}

TEST_CASE("column sums: blocks share rows where each of 4 rows of threads would add 256") {
  CHECK(buffers(4 * 255, 1024).empty());
  // 16 rows a thread: 256 / 16 blocks for each of 1,024 / 128 groups of columns.
  CHECK(buffers(4 * 256, 1024) == Sizes{4LL * 1024 * 16 * 128, 4 * 8});
}

TEST_CASE("column sums: a smaller GPU shares less") {
  // 16 blocks a multiprocessor, or 12 of those with 1,536 threads, over 8 groups of columns.
  CHECK(buffers(65536, 1024, {80, 2048}) == Sizes{4LL * 1024 * (80 * 16 / 8) * 128, 32});
  CHECK(buffers(65536, 1024, {80, 1536}) == Sizes{4LL * 1024 * (80 * 12 / 8) * 128, 32});
  CHECK(buffers(65536, 128 * 2000, {80, 2048}).empty());  // more groups than fit at once
}

// Of the segment with this name, the bytes of everything that lives while it runs and dies there.
bool allocates(const Built& b, const char* segment, std::int64_t bytes) {
  for (const Segment& s : b.program.segments)
    for (const Instr& i : s.instrs)
      if (const auto* c = std::get_if<MemoryChange>(&i.what); c && s.name == segment)
        if (c->allocate && c->bytes.value == bytes) return true;
  return false;
}

TEST_CASE("column sums: a bias's gradient has them in eager PyTorch, in training of enough rows") {
  BuildText text;
  text.model = kSmallGpt2;
  text.training = "micro_batch_size: 8, global_batch_size: 8";
  // 8 x 128 rows of proj, 64 columns: 16 columns of threads, so 8 rows of them, which add 128 each.
  CHECK(buffers(8 * 128, 64).empty());
  // 256 columns of up's result.
  const Sizes up = buffers(8 * 128, 256);
  REQUIRE(up.size() == 2);
  CHECK(allocates(build(text), "block backward", up[0] + 512));  // the counters take 512 bytes
  text.runtime = "megatron";
  CHECK_FALSE(allocates(build(text), "block backward", up[0] + 512));
}

}  // namespace
}  // namespace rehearse
