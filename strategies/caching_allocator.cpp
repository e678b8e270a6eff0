#include "strategies/caching_allocator.hpp"

#include <algorithm>

namespace rehearse {
namespace {

constexpr std::int64_t kRound = 512;
constexpr std::int64_t kMiB = 1 << 20;

std::int64_t up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

std::int64_t segment_size(std::int64_t size) {
  if (size <= kMiB) return 2 * kMiB;
  if (size < 10 * kMiB) return 20 * kMiB;
  return up(size, 2 * kMiB);
}

}  // namespace

std::vector<CachingAllocator::Pool::Free>::iterator CachingAllocator::Pool::find(
    std::int64_t size, std::int64_t address) {
  return std::lower_bound(free_.begin(), free_.end(), std::pair{size, address},
                          [](const Free& f, const std::pair<std::int64_t, std::int64_t>& key) {
                            return std::pair{f.size, f.address} < key;
                          });
}

CachingAllocator::Handle CachingAllocator::Pool::take(std::int64_t size) {
  const auto it = find(size, 0);
  if (it == free_.end()) return 0;
  const Handle h = it->handle;
  free_.erase(it);
  return h;
}

void CachingAllocator::Pool::insert(const Block& b, Handle h) {
  free_.insert(find(b.size, b.address), {b.size, b.address, h});
}

void CachingAllocator::Pool::erase(const Block& b) { free_.erase(find(b.size, b.address)); }

CachingAllocator::Handle CachingAllocator::new_block(const Block& b) {
  if (unused_.empty()) {
    blocks_.push_back(b);
    return blocks_.size() - 1;
  }
  const Handle h = unused_.back();
  unused_.pop_back();
  blocks_[h] = b;
  return h;
}

CachingAllocator::Handle CachingAllocator::find_or_reserve(std::int64_t size) {
  const bool small = size <= kMiB;
  if (const Handle h = pool(small).take(size)) return h;
  const std::int64_t whole = segment_size(size);
  const std::int64_t address = reserved_;
  reserved_ += whole;
  return new_block({whole, address, true, small, 0, 0});
}

CachingAllocator::Handle CachingAllocator::allocate(Bytes bytes) {
  const std::int64_t size = up(bytes.value > 0 ? bytes.value : 1, kRound);
  const Handle h = find_or_reserve(size);
  const std::int64_t left = blocks_[h].size - size;
  const bool small = blocks_[h].small;
  if (small ? left >= kRound : left > kMiB) {
    const Handle rest =
        new_block({left, blocks_[h].address + size, true, small, h, blocks_[h].next});
    if (blocks_[rest].next) blocks_[blocks_[rest].next].previous = rest;
    blocks_[h].next = rest;
    blocks_[h].size = size;
    pool(small).insert(blocks_[rest], rest);
  }
  blocks_[h].free = false;
  allocated_ += blocks_[h].size;
  return h;
}

void CachingAllocator::release(Handle h) {
  Block& b = blocks_[h];
  allocated_ -= b.size;
  b.free = true;
  const auto join = [&](Handle left, Handle right) {
    // `right` disappears into `left`.
    blocks_[left].size += blocks_[right].size;
    blocks_[left].next = blocks_[right].next;
    if (blocks_[left].next) blocks_[blocks_[left].next].previous = left;
    unused_.push_back(right);
  };
  Handle at = h;
  if (const Handle n = blocks_[at].next; n && blocks_[n].free) {
    pool(blocks_[n].small).erase(blocks_[n]);
    join(at, n);
  }
  if (const Handle p = blocks_[at].previous; p && blocks_[p].free) {
    pool(blocks_[p].small).erase(blocks_[p]);
    join(p, at);
    at = p;
  }
  pool(blocks_[at].small).insert(blocks_[at], at);
}

}  // namespace rehearse
