#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "sim/base/quantity.hpp"

namespace rehearse {

// PyTorch's CUDA caching allocator (c10/cuda/CUDACachingAllocator.cpp), as far as sizes go: blocks
// are cut from segments that the device gave and that are never returned; a freed block joins its
// free neighbours and is found again by best fit.
//
// Requests are rounded to 512 bytes. Up to 1 MiB they come from segments of 2 MiB; from 1 to 10 MiB
// from segments of 20 MiB; above, from a segment of their own, rounded to 2 MiB. A block is split
// when more than 512 bytes (small) or 1 MiB (large) would be left.
class CachingAllocator {
 public:
  using Handle = std::uint32_t;
  Handle allocate(Bytes size);
  void release(Handle handle);
  Bytes reserved() const { return Bytes(reserved_); }
  Bytes allocated() const { return Bytes(allocated_); }

 private:
  struct Block {
    std::int64_t size = 0;
    std::int64_t address = 0;       // segments lie one after another
    Handle previous = 0, next = 0;  // neighbours in the segment, 0: none
    bool free = false;
    bool small = false;
  };
  using Blocks = std::vector<Block>;
  // Free blocks by size, then address. There are some dozens: sorted arrays beat a tree.
  class Pool {
   public:
    std::size_t count() const { return sizes_.size(); }
    Handle at(std::size_t place) const { return which_[place]; }
    // Where a free block stands, or would stand. The smallest of at least `size` is where one at
    // address 0 would.
    std::size_t place_of(const Blocks& blocks, std::int64_t size, std::int64_t address) const;
    void insert(std::size_t place, std::int64_t size, Handle b);
    void erase(std::size_t place);
    // A block that would stand at `to` comes in the stead of the one at `from`.
    void replace(std::size_t from, std::size_t to, std::int64_t size, Handle b);

   private:
    std::vector<std::int32_t> sizes_;  // in units of 512 bytes
    std::vector<Handle> which_;
  };

  Pool& pool(bool small) { return small ? small_ : large_; }
  Handle new_block(const Block& b);

  Blocks blocks_{1};  // by handle; 0 is none
  std::vector<Handle> unused_;
  Pool small_, large_;
  std::int64_t reserved_ = 0, allocated_ = 0;
};

}  // namespace rehearse
