#pragma once

#include <cstddef>
#include <cstdint>

#include "sim/engine/task_graph.hpp"

namespace rehearse::bench {

// A splitmix64 generator (Steele, Lea, Flood 2014): the same numbers with every standard library.
class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  // In [low, high].
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(high - low + 1));
  }

 private:
  std::uint64_t state_;
};

struct PipelineShape {
  std::uint32_t stages = 64;
  std::size_t tasks = 1'000'000;  // whole microbatches are added until there are at least so many
  std::uint32_t kernels = 24;     // of a stage's forward or backward pass of a microbatch
  double foreground_rate = 1.0;
  double background_rate = 1.0;
  std::uint32_t classes = 0;  // besides the streams': every other task is of one of them
  std::uint64_t seed = 1;
};

// A pipeline under the 1F1B schedule, one device a stage. A device has a host stream that issues
// each kernel (and waits two passes behind, so that it runs ahead by a bounded amount), a compute
// stream, a stream for sends to the neighbouring stage (each followed by a latency on no stream)
// and one for collectives that overlap compute, of which every eighth kernel starts one and the
// kernel six later needs it. Durations are pseudo-random.
TaskGraph pipeline_graph(const PipelineShape& shape);

// A random graph of a few streams of every class, delays, joins without duration, repeated edges
// and durations that tie often.
struct RandomShape {
  std::uint32_t tasks = 200;
  std::uint32_t domains = 3;
  double foreground_rate = 1.0;
  double background_rate = 1.0;
  std::uint32_t classes = 0;  // besides the streams': every other task is of one of them
  std::uint64_t seed = 1;
  std::uint32_t links = 0;     // every other task on a stream is a transfer over one to three
  bool holds = false;          // every third task on a stream holds it, as one of some class would
  bool reverse_edges = false;  // insert the edges in the opposite order
};
TaskGraph random_graph(const RandomShape& shape);

}  // namespace rehearse::bench
