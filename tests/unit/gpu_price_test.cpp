#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "hardware/attention_model.hpp"
#include "hardware/gemm_model.hpp"
#include "hardware/gpu.hpp"
#include "hardware/measured_range.hpp"
#include "sim/config/catalog.hpp"

using namespace rehearse;

namespace {

Gpu shipped(const char* name) { return read_gpu(resolve("gpus", Value::scalar(name))); }

Gpu simple_gpu() {
  return read_gpu(parse_text(
      "architecture: test\nsm_count: 10\nboost_clock_mhz: 1000\npeak: {bf16: 100 TFLOP/s}\n"
      "memory: 10 GB\nmemory_bandwidth: 1000 GB/s\nefficiency: {sustained_clock: 0.8}\n"
      "kernels: {copy: {bandwidth_efficiency: 0.5, elements_per_second: 1e9, fixed: 3 us}}\n",
      "gpu.yaml"));
}

AttentionWork attention(std::int64_t length) {
  AttentionWork w;
  w.batch = 4;
  w.heads = 32;
  w.kv_heads = 8;
  w.length = w.kv_length = length;
  w.head_size = 128;
  return w;
}

}  // namespace

TEST_CASE(
    "a memory-bound kernel takes its bytes at the class's share of bandwidth, plus its fixed "
    "cost") {
  // 2 MB at 0.5 of 1 TB/s = 4 us, + 3 us.
  const MemoryWork work{"copy", Bytes(1'000'000), Bytes(1'000'000), 10};
  CHECK(kernel_time(simple_gpu(), work, Clocks::kBurst).value == Approx(7e-6));
  CHECK(price_kernel(simple_gpu(), work, Clocks::kBurst).bound == Bound::kMemory);
}

TEST_CASE("instruction issue bounds a kernel of many elements") {
  // 50,000 elements at 1e9 a second = 50 us, + 3 us.
  const MemoryWork work{"copy", Bytes(100'000), Bytes(100'000), 50'000};
  CHECK(kernel_time(simple_gpu(), work, Clocks::kBurst).value == Approx(53e-6));
  CHECK(price_kernel(simple_gpu(), work, Clocks::kBurst).bound == Bound::kIssue);
}

TEST_CASE("a tiny kernel is bound by its fixed cost") {
  const MemoryWork work{"copy", Bytes(8), Bytes(8), 2};
  CHECK(price_kernel(simple_gpu(), work, Clocks::kBurst).bound == Bound::kFixed);
}

TEST_CASE("an unknown kernel class is a bug") {
  const MemoryWork work{"no-such-class", Bytes(8), Bytes(8), 2};
  CHECK_THROWS_AS(kernel_time(simple_gpu(), work, Clocks::kBurst), std::logic_error);
}

TEST_CASE("sustained clocks stretch what compute bounds, not what memory bounds") {
  GemmWork big;
  big.m = big.n = big.k = 4096;
  const Gpu gpu = simple_gpu();
  CHECK(ratio(kernel_time(gpu, big, Clocks::kSustained), kernel_time(gpu, big, Clocks::kBurst)) ==
        Approx(1 / 0.8));
  GemmWork thin = big;
  thin.m = 1;
  CHECK(kernel_time(gpu, thin, Clocks::kSustained) == kernel_time(gpu, thin, Clocks::kBurst));
}

TEST_CASE("a price tells FLOPs, bytes, efficiency and where it was measured") {
  GemmWork w;
  w.m = w.n = w.k = 4096;
  const KernelPrice p = price_kernel(shipped("h200-sxm"), w, Clocks::kBurst);
  CHECK(p.flops.value == 2.0 * 4096 * 4096 * 4096);
  CHECK(p.bytes == Bytes(3LL * 2 * 4096 * 4096));
  CHECK(p.bound == Bound::kCompute);
  CHECK(p.efficiency > 0.6);
  CHECK(p.efficiency < 1.0);
  CHECK(p.efficiency == Approx(p.flops.value / p.time.value / 989.4e12));
  CHECK_THAT(p.source, Catch::Contains("silicon/h200_sxm") && Catch::Contains("AIConfigurator"));
}

TEST_CASE("what was measured on another GPU or type says so") {
  GemmWork w;
  w.m = w.n = w.k = 4096;
  CHECK_THAT(price_kernel(shipped("rtx-4090"), w, Clocks::kBurst).source,
             Catch::StartsWith("transferred from l40s: silicon/l40s"));
  w.dtype = w.out = DType::kTf32;
  CHECK_THAT(price_kernel(shipped("h200-sxm"), w, Clocks::kBurst).source,
             Catch::StartsWith("transferred from bf16: silicon/h200_sxm"));
  CHECK_THAT(price_kernel(shipped("l40s"), attention(2048), Clocks::kBurst).source,
             Catch::StartsWith("transferred from a100-sxm"));
}

TEST_CASE("a causal mask halves the pairs and ends at the last query and key") {
  AttentionWork w = attention(1024);
  CHECK(attention_pairs(w) == 1024.0 * 1024 / 2);
  w.causal = false;
  CHECK(attention_pairs(w) == 1024.0 * 1024);
  // 256 queries after 768 keys that all of them see: 256 x 768 + 256^2 / 2.
  w.causal = true;
  w.length = 256;
  CHECK(attention_pairs(w) == 256.0 * 768 + 256.0 * 256 / 2);
}

TEST_CASE("attention without a causal mask does twice the FLOPs at the same efficiency") {
  const Gpu gpu = shipped("h100-sxm");
  AttentionWork w = attention(65536);
  const double causal = kernel_time(gpu, w, Clocks::kBurst).value;
  w.causal = false;
  CHECK(kernel_time(gpu, w, Clocks::kBurst).value / causal == Approx(2).epsilon(0.03));
}

TEST_CASE("dropout inside attention takes a ratio longer, by direction and kernel") {
  const Gpu gpu = shipped("h200-sxm");
  for (const int generation : {0, 2})
    for (const auto direction : {AttentionDirection::kForward, AttentionDirection::kBackward}) {
      AttentionWork w = attention(4096);
      w.generation = generation;
      w.direction = direction;
      const double without = kernel_time(gpu, w, Clocks::kSustained).value;
      w.dropout = true;
      const AttentionDropout& ratios =
          generation == 2 ? gpu.attention->second.model->dropout : gpu.attention->dropout;
      const double ratio =
          direction == AttentionDirection::kForward ? ratios.forward : ratios.backward;
      CHECK(ratio > 1);
      CHECK(kernel_time(gpu, w, Clocks::kSustained).value / without == Approx(ratio));
    }
}

TEST_CASE(
    "backward attention that was not measured does 2.5 times the FLOPs at its own efficiency") {
  const Gpu gpu = shipped("a100-sxm");
  AttentionWork w = attention(65536);
  const double forward = kernel_time(gpu, w, Clocks::kBurst).value;
  w.direction = AttentionDirection::kBackward;
  CHECK(kernel_time(gpu, w, Clocks::kBurst).value / forward == Approx(2.5 / 0.8).epsilon(0.03));
}

TEST_CASE("attention in training is priced by the training framework's kernels where measured") {
  const Gpu gpu = shipped("h200-sxm");
  AttentionWork w = attention(1024);
  CHECK_THAT(price_kernel(gpu, w, Clocks::kBurst).source, Catch::StartsWith("silicon/"));
  CHECK_THAT(price_kernel(gpu, w, Clocks::kSustained).source, Catch::Contains("attention.csv"));
  w.direction = AttentionDirection::kBackward;
  CHECK_THAT(price_kernel(gpu, w, Clocks::kBurst).source, Catch::Contains("attention.csv"));
  w.direction = AttentionDirection::kForward;
  CHECK_THAT(price_kernel(shipped("gb200"), w, Clocks::kSustained).source,
             Catch::StartsWith("transferred from b200-sxm"));
}

TEST_CASE("attention longer than measured grows with the square of its length") {
  const Gpu gpu = shipped("h100-sxm");
  const double at_64k = kernel_time(gpu, attention(65536), Clocks::kBurst).value;
  const double at_128k = kernel_time(gpu, attention(131072), Clocks::kBurst).value;
  CHECK(at_128k / at_64k == Approx(4).epsilon(0.02));
}

TEST_CASE("beside a collective a product loses the multiprocessors it holds, and late rounds") {
  Gpu gpu = simple_gpu();  // 10 multiprocessors
  gpu.beside.multiprocessors = 2;
  gpu.beside.product_rounds = 0.5;
  gpu.beside.communication_slowdown = 1.3;
  // 40 tiles of 128 x 256 are 4 rounds: (1 + 0.5 / 4) / 0.8. One tile is one round: 1.5 / 0.8.
  GemmWork work{128 * 8, 256 * 5, 64};
  const Slowdowns several = beside_collective(gpu, work, Clocks::kBurst);
  CHECK(several.kernel == Approx(1.125 / 0.8));
  CHECK(several.collective == Approx(1.3));
  work.m = work.n = 128;
  CHECK(beside_collective(gpu, work, Clocks::kBurst).kernel == Approx(1.5 / 0.8));
  gpu.beside.product_rounds = 3;
  CHECK(beside_collective(gpu, work, Clocks::kBurst).kernel == Approx(2));  // never more
}

TEST_CASE("a collective that waits for other ranks slows products alone") {
  Gpu gpu = simple_gpu();
  gpu.beside = {2, 0.5, 1.4, 1.2, 1.25, 1.7, 2};
  const Slowdowns product = beside_collective(gpu, GemmWork{4096, 4096, 4096}, Clocks::kBurst);
  CHECK(product.waiting == product.kernel);
  CHECK(product.waiting > 1);
  CHECK(beside_collective(gpu, attention(1024), Clocks::kBurst).waiting == 1);
  const MemoryWork memory{"copy", Bytes(1'000'000), Bytes(1'000'000), 10};
  CHECK(beside_collective(gpu, memory, Clocks::kBurst).waiting == 1);
}

TEST_CASE("what memory bounds slows a collective more than what instruction issue bounds") {
  Gpu gpu = simple_gpu();
  gpu.beside = {1, 0, 1.4, 1.2, 1.25, 1.7, 2};
  const MemoryWork memory{"copy", Bytes(1'000'000), Bytes(1'000'000), 10};
  const MemoryWork issue{"copy", Bytes(100'000), Bytes(100'000), 50'000};
  CHECK(beside_collective(gpu, memory, Clocks::kBurst) == Slowdowns{1.2, 1.7});
  CHECK(beside_collective(gpu, issue, Clocks::kBurst) == Slowdowns{1.4, 1.25});
}

TEST_CASE("an idealised gpu has no interference") {
  const Gpu gpu = idealised(shipped("h200-sxm"));
  CHECK_FALSE(gpu.beside.interferes());
  CHECK(beside_collective(gpu, GemmWork{4096, 4096, 4096}, Clocks::kSustained) == Slowdowns{1, 1});
}

TEST_CASE("above its threshold the power limit stretches work in proportion") {
  const Throttle throttle{FlopsPerSecond(3e14), FlopsPerSecond(2e15)};
  CHECK(throttle.at(FlopsPerSecond(2e14)) == Approx(1));
  CHECK(throttle.at(FlopsPerSecond(5e14)) == Approx(1.1));
}

TEST_CASE("blocks that work through all rows take a round for every multiprocessor's worth") {
  Gpu gpu = simple_gpu();  // 10 multiprocessors
  gpu.kernels["columns"].bandwidth_efficiency = 0.5;
  gpu.kernels["columns"].per_row = Seconds(1e-9);
  MemoryWork work{"columns", Bytes(1000), Bytes(0), 1000, 10'000, 4};
  CHECK(kernel_time(gpu, work, Clocks::kBurst).value == Approx(10e-6));
  work.blocks = 11;
  CHECK(kernel_time(gpu, work, Clocks::kBurst).value == Approx(20e-6));
  work.read = Bytes(20'000'000);  // 20 MB at 0.5 of 1 TB/s
  CHECK(kernel_time(gpu, work, Clocks::kBurst).value == Approx(40e-6));
}

TEST_CASE("lower clocks stretch the part of a kernel that follows them") {
  Gpu gpu = simple_gpu();
  gpu.sustained_clock = 0.8;
  gpu.kernels["half"].follows_clock = 0.5;
  const MemoryWork work{"half", Bytes(1'000'000'000), Bytes(0), 1000};  // 1 ms at 1 TB/s
  CHECK(kernel_time(gpu, work, Clocks::kBurst).value == Approx(1e-3));
  CHECK(kernel_time(gpu, work, Clocks::kSustained).value == Approx(1e-3 * (1 + 0.5 * 0.25)));
}

TEST_CASE("what was measured of a shape stretches what the class's rates say") {
  const std::string path = std::filesystem::temp_directory_path() / "rehearse_shapes_test.bin";
  RatioGrid grid;
  grid.axes = {{4}, {1000}, {500, 1000}};  // bytes an element, rows, columns
  grid.values = {0, 4096};                 // as the rates say, and twice as long
  std::ofstream(path, std::ios::binary) << encode(grid);
  Gpu gpu = simple_gpu();
  gpu.kernels["rows"].shapes = std::make_shared<const RatioTable>(path, Mark{}, 3);
  MemoryWork work{"rows", Bytes(2'000'000), Bytes(2'000'000), 1'000'000, 1000};
  CHECK(kernel_time(gpu, work, Clocks::kBurst).value == Approx(8e-6));  // 4 us at 1 TB/s, twice
  CHECK(octaves_outside(gpu, work, Clocks::kBurst) == Approx(0));
  work.elements = 4'000'000;  // 4,000 columns: two octaves beyond, and the edge's ratio holds
  work.read = work.written = Bytes(8'000'000);
  CHECK(kernel_time(gpu, work, Clocks::kBurst).value == Approx(32e-6));
  CHECK(octaves_outside(gpu, work, Clocks::kBurst) == Approx(2));
}

TEST_CASE("products and attention know how far their sizes lie outside of the measured ones") {
  const Gpu gpu = shipped("h200-sxm");
  const GemmWork inside{8192, 4096, 4096};
  CHECK(octaves_outside(gpu, inside, Clocks::kSustained) == 0);
  const auto& m = gpu.gemm->training_tables.at(DType::kBf16)[0].table->get().grid().axes[0];
  const GemmWork far{4 * m.back(), 4096, 4096};
  CHECK(octaves_outside(gpu, far, Clocks::kSustained) == Approx(2));
  AttentionWork attention;
  attention.heads = attention.kv_heads = 32;
  attention.length = attention.kv_length = 1 << 20;
  attention.head_size = 128;
  CHECK(octaves_outside(gpu, attention, Clocks::kSustained) > 2);
  CHECK(octaves_outside(idealised(gpu), far, Clocks::kSustained) == 0);
}
