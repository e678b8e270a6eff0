#include "strategies/caching_allocator.hpp"

#include <algorithm>
#include <limits>
#include <utility>

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

// Sizes as the pools order them, in units of 512 bytes; the largest (1 TiB and more) are alike.
std::int32_t units(std::int64_t size) {
  return static_cast<std::int32_t>(
      std::min<std::int64_t>(size / kRound, std::numeric_limits<std::int32_t>::max()));
}

// How many of n sorted numbers are less: halved without branches, which would be mispredicted half
// of the time, then counted, several at once.
std::size_t count_less(const std::int32_t* sorted, std::size_t n, std::int32_t than) {
  constexpr std::size_t kCounted = 64;
  std::size_t first = 0;
  while (n > kCounted) {
    const std::size_t half = n / 2;
    first += half * static_cast<std::size_t>(sorted[first + half - 1] < than);
    n -= half;
  }
  std::int32_t less = 0;
  for (std::size_t i = 0; i < n; ++i) less += static_cast<std::int32_t>(sorted[first + i] < than);
  return first + static_cast<std::size_t>(less);
}

// Moves the element at `from` to `to`, and those between by one.
template <class T>
void move_to(std::vector<T>& all, std::size_t from, std::size_t to, T element) {
  T* const p = all.data();
  if (from < to)
    std::copy(p + from + 1, p + to + 1, p + from);
  else
    std::copy_backward(p + to, p + from, p + from + 1);
  p[to] = element;
}

template <class T>
auto nth(std::vector<T>& all, std::size_t n) {
  return all.begin() + static_cast<std::ptrdiff_t>(n);
}

}  // namespace

std::size_t CachingAllocator::Pool::place_of(const Blocks& blocks, std::int64_t size,
                                             std::int64_t address) const {
  const std::int32_t u = units(size);
  std::size_t place = count_less(sizes_.data(), sizes_.size(), u);
  const auto before = [&](const Block& b) {
    return std::pair{b.size, b.address} < std::pair{size, address};
  };
  while (place < sizes_.size() && sizes_[place] == u && before(blocks[which_[place]])) ++place;
  return place;
}

void CachingAllocator::Pool::insert(std::size_t place, std::int64_t size, Handle b) {
  sizes_.insert(nth(sizes_, place), units(size));
  which_.insert(nth(which_, place), b);
}

void CachingAllocator::Pool::erase(std::size_t place) {
  sizes_.erase(nth(sizes_, place));
  which_.erase(nth(which_, place));
}

void CachingAllocator::Pool::replace(std::size_t from, std::size_t to, std::int64_t size,
                                     Handle b) {
  if (from < to) --to;  // what stood there goes
  move_to(sizes_, from, to, units(size));
  move_to(which_, from, to, b);
}

CachingAllocator::Handle CachingAllocator::new_block(const Block& b) {
  if (unused_.empty()) {
    blocks_.push_back(b);
    return static_cast<Handle>(blocks_.size() - 1);
  }
  const Handle h = unused_.back();
  unused_.pop_back();
  blocks_[h] = b;
  return h;
}

CachingAllocator::Handle CachingAllocator::grow(std::int64_t size, bool small) {
  Handle& end = last(small);
  const bool extends = end && blocks_[end].free;
  const std::int64_t page = (small ? 2 : 20) * kMiB;
  const std::int64_t more = up(size - (extends ? blocks_[end].size : 0), page);
  reserved_ += more;
  if (extends) {
    Pool& free = pool(small);
    free.erase(free.place_of(blocks_, blocks_[end].size, blocks_[end].address));
    blocks_[end].size += more;
    return end;
  }
  const std::int64_t address = end ? blocks_[end].address + blocks_[end].size : 0;
  const Handle h = new_block({more, 0, address, end, 0, false, small});
  if (end) blocks_[end].next = h;
  return end = h;
}

CachingAllocator::Handle CachingAllocator::allocate(Bytes bytes) {
  const std::int64_t size = up(bytes.value > 0 ? bytes.value : 1, kRound);
  const bool small = size <= kMiB;
  Pool& free = pool(small);
  allocated_ += size;
  const std::size_t place = free.place_of(blocks_, size, 0);
  const bool found = place < free.count();
  Handle h = 0;
  if (found) {
    h = free.at(place);
  } else if (expandable_) {
    h = grow(size, small);
  } else {
    const std::int64_t whole = segment_size(size);
    h = new_block({whole, 0, reserved_, 0, 0, false, small});
    reserved_ += whole;
  }
  const std::int64_t left = blocks_[h].size - size;
  if (small || expandable_ ? left < kRound : left <= kMiB) {
    allocated_ += left;
    uncut_ += left;
    blocks_[h].uncut = left;
    if (found) free.erase(place);
    blocks_[h].free = false;
    return h;
  }
  const Handle next = blocks_[h].next;
  const std::int64_t address = blocks_[h].address + size;
  const Handle rest = new_block({left, 0, address, h, next, true, small});
  if (next)
    blocks_[next].previous = rest;
  else
    last(small) = rest;
  Block& taken = blocks_[h];
  taken.next = rest;
  taken.size = size;
  taken.free = false;
  const std::size_t to = free.place_of(blocks_, left, address);
  if (found)
    free.replace(place, to, left, rest);
  else
    free.insert(to, left, rest);
  return h;
}

void CachingAllocator::release(Handle h) {
  allocated_ -= blocks_[h].size;
  uncut_ -= std::exchange(blocks_[h].uncut, 0);
  Pool& free = pool(blocks_[h].small);
  const auto place_of = [&](Handle of) {
    return free.place_of(blocks_, blocks_[of].size, blocks_[of].address);
  };
  const Handle left = blocks_[h].previous, right = blocks_[h].next;
  const bool joins_left = left && blocks_[left].free, joins_right = right && blocks_[right].free;
  // What disappears into a neighbour leaves its place to the whole.
  std::size_t from = free.count();
  if (joins_right) from = place_of(right);
  if (joins_left) {
    const std::size_t place = place_of(left);
    if (joins_right) {
      free.erase(from);
      from = place - static_cast<std::size_t>(from < place);
    } else {
      from = place;
    }
  }
  const auto join = [&](Handle into, Handle from_right) {
    blocks_[into].size += blocks_[from_right].size;
    const Handle next = blocks_[from_right].next;
    blocks_[into].next = next;
    if (next)
      blocks_[next].previous = into;
    else
      last(blocks_[into].small) = into;
    unused_.push_back(from_right);
  };
  if (joins_right) join(h, right);
  if (joins_left) join(left, h);
  const Handle whole = joins_left ? left : h;
  Block& b = blocks_[whole];
  b.free = true;
  const std::size_t to = free.place_of(blocks_, b.size, b.address);
  if (joins_left || joins_right)
    free.replace(from, to, b.size, whole);
  else
    free.insert(to, b.size, whole);
}

}  // namespace rehearse
