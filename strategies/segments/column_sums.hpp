#pragma once

#include <cstdint>
#include <vector>

#include "sim/base/quantity.hpp"

namespace rehearse {

// Of a GPU, how many multiprocessors it has and how many threads each of them runs at a time.
struct Multiprocessors {
  std::int64_t count = 0;
  std::int64_t threads = 2048;
};

// What PyTorch's sum over the rows of a matrix allocates while it runs
// (aten/src/ATen/native/cuda/Reduce.cuh, setReduceConfig): where every thread would add many rows,
// blocks share them so that the GPU is full, and each thread leaves its fp32 sums in memory, with a
// counter for every group of columns. Nothing where blocks share nothing.
std::vector<Bytes> column_sum_buffers(std::int64_t rows, std::int64_t columns,
                                      const Multiprocessors& gpu);

}  // namespace rehearse
