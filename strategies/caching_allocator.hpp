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
//
// With expandable segments (PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True) there is one segment
// for small and one for large requests, which grow at their ends, by what is missing behind a free
// block there: in pages of 2 and 20 MiB. A block is split when 512 bytes would be left.
class CachingAllocator {
 public:
  using Handle = std::uint32_t;
  explicit CachingAllocator(bool expandable = false) : expandable_(expandable) {}
  Handle allocate(Bytes size);
  void release(Handle handle);
  Bytes reserved() const { return Bytes(reserved_); }
  // What blocks that are in use hold, and how much of that nobody asked for (it was not cut off).
  Bytes allocated() const { return Bytes(allocated_); }
  Bytes uncut() const { return Bytes(uncut_); }

 private:
  struct Block {
    std::int64_t size = 0;
    std::int64_t uncut = 0;         // of it, in use
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
  // The block at the end of expandable segments, 0: none yet.
  Handle& last(bool small) { return small ? last_small_ : last_large_; }
  // A free block of at least so much at the end of expandable segments, in no pool.
  Handle grow(std::int64_t size, bool small);
  Handle new_block(const Block& b);

  Blocks blocks_{1};  // by handle; 0 is none
  std::vector<Handle> unused_;
  Pool small_, large_;
  bool expandable_ = false;
  Handle last_small_ = 0, last_large_ = 0;  // of expandable segments, the blocks at their ends
  std::int64_t reserved_ = 0, allocated_ = 0, uncut_ = 0;
};

}  // namespace rehearse
