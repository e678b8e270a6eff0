#pragma once

#include <cstdint>
#include <vector>

#include "sim/config/scenario.hpp"
#include "strategies/priced_segment.hpp"

namespace rehearse {

// Random numbers of one rank in one trial: a sequence that depends on nothing but the seed, the
// trial and the rank, and is the same on every machine (integers, and sums of them).
class Draws {
 public:
  Draws(std::uint64_t seed, std::uint64_t trial, std::uint64_t rank);

  // In [0, 1).
  double uniform();
  // Mean 0, variance 1, within 6: the sum of twelve uniform numbers less 6 (Irwin and Hall), which
  // needs no function whose last bit differs between libraries.
  double normal();
  // The largest of `n` normal numbers.
  double largest_normal(int n);

 private:
  std::uint64_t next();  // splitmix64 (Steele, Lea and Flood, OOPSLA 2014)
  std::uint64_t state_;
};

// Kernels of a segment between two meetings.
struct Interval {
  double kernels = 0;  // picoseconds of them all
  double squares = 0;  // of each, summed
};

// The intervals of a segment, and which of them each priced instruction is in.
struct SegmentIntervals {
  std::vector<Interval> intervals;
  std::vector<std::uint32_t> of_instr;
};
SegmentIntervals intervals(const Segment& segment, const PricedSegment& priced);

// How much longer the kernels of a rank take in one step than on average.
//
// Model. A kernel of time d takes d (1 + jitter z) with a normal z of its own. Kernels between two
// meetings of a tensor- or context-parallel group add up to a time S whose standard deviation is
// jitter sqrt(sum of d^2), and the group goes on with the slowest of its members: a rank that
// stands for `members` of them takes the largest of as many draws. In a step with a straggler
// (each member, with the given probability) all its kernels take `straggler_slowdown` as long.
class KernelVariation {
 public:
  KernelVariation(const Variation& v, int trial, int rank, int members);
  bool any() const { return any_; }
  void begin_step();
  // What the kernels of an interval take over what they take on average; never negative.
  double factor(const Interval& interval);

 private:
  const Variation variation_;
  const int members_;
  const bool any_;
  double slowdown_ = 1;
  Draws draws_;
};

}  // namespace rehearse
