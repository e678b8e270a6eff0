#pragma once

#include <cstdint>
#include <vector>

#include "hardware/work.hpp"

namespace rehearse {

// Rounds of thread blocks: `sms` SMs run `occupancy` blocks each at a time, so `blocks` take
// ceil(blocks / (sms * occupancy)) rounds, the last of them perhaps mostly idle.
std::int64_t waves(std::int64_t blocks, std::int64_t sms, std::int64_t occupancy);

// What a product runs on.
struct GemmMachine {
  double flops_per_second = 0;  // dense peak of the input type
  double bytes_per_second = 0;
  std::int64_t sm_count = 0;
};

// Output tile of one thread block.
struct GemmTile {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};

// How a library cuts products into tiles, as far as measured times show it. Without tiles compute
// takes FLOPs / peak: persistent kernels that hand out parts of tiles (stream-K) look like that.
// With tiles it takes the best of all tiles and splits of k:
//   waves * FLOPs of a tile / (peak of an SM * (tile / 128x256)^exponent),
// where waves counts whole rounds for the share `quantised` and fractions of one for the rest. A
// split of k adds the traffic of its partial sums in fp32.
struct GemmTiling {
  std::vector<GemmTile> tiles;
  std::vector<std::int64_t> splits{1};
  double exponent = 0;
  double quantised = 1;
  double overhead_s = 0;  // of any product, the smallest ones' time
};

// The yardstick that measured times are told against: parts that add up to its time.
struct GemmRoofline {
  double compute_s = 0;
  double memory_s = 0;
  double overhead_s = 0;
  double total() const { return compute_s + memory_s + overhead_s; }
};

class GemmYardstick {
 public:
  explicit GemmYardstick(const GemmTiling& tiling);
  GemmRoofline operator()(const GemmMachine& machine, const GemmWork& work) const;

 private:
  // A tile with what does not depend on the product.
  struct Cut {
    double rows, columns, flops_per_k;  // FLOPs over the tile's efficiency
  };
  double compute_seconds(const GemmMachine& machine, const GemmWork& work) const;

  std::vector<Cut> cuts_;
  std::vector<std::int64_t> splits_;
  double quantised_;
  double overhead_s_;
};

}  // namespace rehearse
