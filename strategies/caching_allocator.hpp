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
  using Handle = std::uint64_t;
  Handle allocate(Bytes size);
  void release(Handle handle);
  Bytes reserved() const { return Bytes(reserved_); }
  Bytes allocated() const { return Bytes(allocated_); }

 private:
  struct Block {
    std::int64_t size = 0;
    std::int64_t address = 0;  // segments lie one after another
    bool free = false;
    bool small = false;
    Handle previous = 0, next = 0;  // neighbours in the segment, 0: none
  };
  // Free blocks by size, then address. There are few: a sorted vector beats a tree.
  class Pool {
   public:
    // Takes out the smallest of at least `size`; 0 when there is none.
    Handle take(std::int64_t size);
    void insert(const Block& b, Handle h);
    void erase(const Block& b);

   private:
    struct Free {
      std::int64_t size, address;
      Handle handle;
    };
    std::vector<Free>::iterator find(std::int64_t size, std::int64_t address);
    std::vector<Free> free_;
  };

  Pool& pool(bool small) { return small ? small_ : large_; }
  Handle find_or_reserve(std::int64_t size);
  Handle new_block(const Block& b);

  std::vector<Block> blocks_{1};  // by handle; 0 is none
  std::vector<Handle> unused_;
  Pool small_, large_;
  std::int64_t reserved_ = 0, allocated_ = 0;
};

}  // namespace rehearse
