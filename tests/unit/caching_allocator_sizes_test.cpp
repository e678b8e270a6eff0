// PyTorch's caching allocator: sizes of blocks and segments (c10/cuda/CUDACachingAllocator.cpp).

#include <catch2/catch.hpp>

#include "strategies/caching_allocator.hpp"

namespace rehearse {
namespace {

constexpr std::int64_t kKiB = 1024, kMiB = 1024 * 1024;
constexpr Bytes kib(std::int64_t n) { return Bytes(n * kKiB); }
constexpr Bytes mib(std::int64_t n) { return Bytes(n * kMiB); }

TEST_CASE("the allocator rounds requests up to 512 bytes") {
  CachingAllocator a;
  a.allocate(Bytes(1));
  CHECK(a.allocated() == Bytes(512));
  a.allocate(Bytes(513));
  CHECK(a.allocated() == Bytes(512 + 1024));
}

TEST_CASE("small requests share a segment of 2 MiB") {
  CachingAllocator a;
  a.allocate(mib(1));
  CHECK(a.reserved() == mib(2));
  a.allocate(mib(1));
  CHECK(a.reserved() == mib(2));
  a.allocate(Bytes(512));
  CHECK(a.reserved() == mib(4));
}

TEST_CASE("requests over 1 MiB share a segment of 20 MiB") {
  CachingAllocator a;
  a.allocate(Bytes(kMiB + 1));
  CHECK(a.reserved() == mib(20));
  a.allocate(mib(9));
  a.allocate(mib(8));
  CHECK(a.reserved() == mib(20));
}

TEST_CASE("requests of 10 MiB have a segment of their own in steps of 2 MiB") {
  CachingAllocator a;
  a.allocate(mib(10));
  CHECK(a.reserved() == mib(10));
  a.allocate(mib(11));
  CHECK(a.reserved() == mib(22));
  a.allocate(Bytes(100 * kMiB + 1));
  CHECK(a.reserved() == mib(22 + 102));
}

TEST_CASE("small and large requests do not share segments") {
  CachingAllocator a;
  const auto large = a.allocate(mib(5));
  a.release(large);
  a.allocate(kib(512));
  CHECK(a.reserved() == mib(22));
}

TEST_CASE("what was freed is found again") {
  CachingAllocator a;
  const auto h = a.allocate(mib(64));
  a.release(h);
  CHECK(a.allocated() == Bytes(0));
  CHECK(a.reserved() == mib(64));
  a.allocate(mib(60));
  CHECK(a.reserved() == mib(64));
}

TEST_CASE("the smallest block that is large enough is taken") {
  CachingAllocator a;
  const auto big = a.allocate(mib(100)), middle = a.allocate(mib(50));
  a.release(big);
  a.release(middle);
  a.allocate(mib(50));   // the middle one, whole
  a.allocate(mib(100));  // so the big one is still there
  CHECK(a.reserved() == mib(150));
}

TEST_CASE("a large block is split when more than 1 MiB is left") {
  CachingAllocator a;
  a.release(a.allocate(mib(40)));
  a.allocate(mib(30));
  a.allocate(mib(10));
  CHECK(a.reserved() == mib(40));
}

TEST_CASE("a large block is kept whole when 1 MiB or less is left") {
  CachingAllocator a;
  a.release(a.allocate(mib(40)));
  const auto whole = a.allocate(mib(39));
  CHECK(a.allocated() == mib(40));
  a.allocate(Bytes(kMiB + 512));
  CHECK(a.reserved() == mib(40 + 20));
  a.release(whole);
  CHECK(a.allocated() == Bytes(kMiB + 512));
}

TEST_CASE("what is not cut off a block counts as allocated until the block is freed") {
  CachingAllocator a;
  const auto block = a.allocate(kib(20 * 1024 - 500));  // of a segment of 20 MiB
  CHECK(a.uncut() == kib(500));
  CHECK(a.allocated() == mib(20));
  a.release(block);
  CHECK(a.uncut() == Bytes(0));
  CHECK(a.allocated() == Bytes(0));
  a.allocate(mib(20));  // the same block, now whole
  CHECK(a.uncut() == Bytes(0));
}

TEST_CASE("freed neighbours become one block again, whatever the order") {
  for (int order = 0; order < 6; ++order) {
    CachingAllocator a;
    CachingAllocator::Handle h[] = {a.allocate(mib(6)), a.allocate(mib(6)), a.allocate(mib(6))};
    REQUIRE(a.reserved() == mib(20));
    const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int i : orders[order]) a.release(h[i]);
    CHECK(a.allocated() == Bytes(0));
    a.allocate(mib(20));
    CHECK(a.reserved() == mib(20));
  }
}

TEST_CASE("blocks between used ones do not join") {
  CachingAllocator a;
  const auto first = a.allocate(mib(6));
  a.allocate(mib(6));
  const auto third = a.allocate(mib(8));
  a.release(first);
  a.release(third);
  a.allocate(Bytes(9 * kMiB));
  CHECK(a.reserved() == mib(40));
}

TEST_CASE("segments are never given back") {
  CachingAllocator a;
  for (int i = 1; i <= 10; ++i) a.release(a.allocate(mib(20 * i)));
  std::int64_t sum = 0;
  for (int i = 1; i <= 10; ++i) sum += 20 * i;
  CHECK(a.reserved() == mib(sum));  // each was too large for all before it
}

TEST_CASE("an expandable segment grows by what is missing at its end") {
  CachingAllocator a(true);
  const auto first = a.allocate(mib(30));
  CHECK(a.reserved() == mib(40));  // pages of 20 MiB
  a.release(first);
  a.allocate(mib(70));
  CHECK(a.reserved() == mib(80));
}

TEST_CASE("an expandable segment grows behind a used block") {
  CachingAllocator a(true);
  const auto first = a.allocate(mib(20));
  a.allocate(mib(20));
  a.release(first);
  a.allocate(mib(40));  // the hole of 20 MiB is too small
  CHECK(a.reserved() == mib(80));
  a.allocate(mib(20));
  CHECK(a.reserved() == mib(80));
}

TEST_CASE("blocks of an expandable segment are split to 512 bytes, small ones apart") {
  CachingAllocator a(true);
  a.allocate(Bytes(20 * kMiB - 512 * 1024));
  CHECK(a.reserved() == mib(20));
  a.allocate(kib(512));  // small: a segment of its own, in pages of 2 MiB
  CHECK(a.reserved() == mib(22));
  CachingAllocator b(true);
  b.allocate(Bytes(18 * kMiB + 512));
  b.allocate(Bytes(2 * kMiB - 512));
  CHECK(b.reserved() == mib(20));
}

}  // namespace
}  // namespace rehearse
