#include "hardware/gemm_model.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "hardware/gpu.hpp"
#include "sim/config/catalog.hpp"

using namespace rehearse;

namespace {

Gpu shipped(const char* name) { return read_gpu(resolve("gpus", Value::scalar(name))); }

GemmWork product(std::int64_t m, std::int64_t n, std::int64_t k) {
  GemmWork w;
  w.m = m;
  w.n = n;
  w.k = k;
  return w;
}

double burst(const Gpu& gpu, const GemmWork& w) {
  return kernel_time(gpu, w, Clocks::kBurst).value;
}

}  // namespace

TEST_CASE("products of training are priced at a plausible share of the peak") {
  // Sizes off the measured grid and beyond it: vocabularies, gated blocks, long sequences.
  struct Shape {
    std::int64_t m, n, k;
  };
  for (const char* name : {"a100-sxm", "h100-sxm", "h200-sxm", "b200-sxm", "b300-sxm", "gb300"}) {
    const Gpu gpu = shipped(name);
    for (const Shape& s :
         {Shape{8192, 50304, 1600}, Shape{8192, 128256, 4096}, Shape{16384, 11008, 4096},
          Shape{8192, 28672, 8192}, Shape{262144, 14336, 4096}, Shape{4096, 4096, 262144}}) {
      INFO(name << " " << s.m << " " << s.n << " " << s.k);
      const KernelPrice p = price_kernel(gpu, product(s.m, s.n, s.k), Clocks::kBurst);
      CHECK(p.efficiency > 0.5);
      CHECK(p.efficiency < 1.0);
      CHECK(p.bound == Bound::kCompute);
    }
  }
}

TEST_CASE("no product beats the roofline by more than the caches explain") {
  // Measured operands of small products stay in L2, so only large ones are held to it.
  const Gpu gpu = shipped("h200-sxm");
  for (std::int64_t m = 64; m <= 65536; m *= 2) {
    for (std::int64_t n = 1024; n <= 65536; n *= 4) {
      for (std::int64_t k = 4096; k <= 65536; k *= 4) {
        const GemmWork w = product(m, n, k);
        CHECK(burst(gpu, w) > 0.95 * flops(w).value / 989.4e12);
      }
    }
  }
}

TEST_CASE("beyond the grid time grows in proportion") {
  const Gpu gpu = shipped("h200-sxm");
  CHECK(burst(gpu, product(262144, 8192, 8192)) / burst(gpu, product(131072, 8192, 8192)) ==
        Approx(2).epsilon(0.01));
  CHECK(burst(gpu, product(8192, 8192, 262144)) / burst(gpu, product(8192, 8192, 131072)) ==
        Approx(2).epsilon(0.01));
}

TEST_CASE("a batch of small products takes about the time of one tall product") {
  const Gpu gpu = shipped("a100-sxm");
  GemmWork w = product(512, 512, 128);
  w.batch = 64;
  const double tall = burst(gpu, product(512 * 64, 512, 128));
  CHECK(burst(gpu, w) > 0.9 * tall);
  CHECK(burst(gpu, w) < 1.5 * tall);
}

TEST_CASE("rows that are not whole vectors are slower, as measured on H200") {
  const Gpu gpu = shipped("h200-sxm");
  const double aligned = burst(gpu, product(8192, 4096, 4096));
  CHECK(burst(gpu, product(8192, 4096, 4095)) > 3 * aligned);
  // calibration/results/h200-sxm/gemm_unaligned.csv: GPT-2's head, forward, 13,456 us
  CHECK(burst(gpu, product(8192, 50257, 1600)) == Approx(13456e-6).epsilon(0.1));
  // m is the number of rows: its alignment is no matter, except where rows run along it.
  CHECK(burst(gpu, product(8191, 4096, 4096)) < 1.1 * aligned);
  GemmWork wgrad = product(50257, 1600, 8192);
  wgrad.layout = GemmLayout::kWgrad;
  CHECK(burst(gpu, wgrad) == Approx(9205e-6).epsilon(0.1));
  // tf32 needs 16 bytes as well, but they are four elements; fp32 goes by single ones.
  GemmWork wide = product(8192, 50260, 1024);
  wide.dtype = wide.out = DType::kTf32;
  CHECK(burst(gpu, wide) < 3000e-6);  // a vocabulary of 50,258: 6,714 us
}

TEST_CASE("fp16 is priced as bf16, and fp8 faster") {
  const Gpu gpu = shipped("h200-sxm");
  GemmWork w = product(8192, 8192, 8192);
  const double bf16 = burst(gpu, w);
  w.dtype = w.out = DType::kFp16;
  CHECK(burst(gpu, w) == bf16);
  w.dtype = DType::kFp8;
  CHECK(burst(gpu, w) < 0.65 * bf16);
}

TEST_CASE("a layout's factor multiplies time") {
  const Gpu plain = shipped("a100-sxm");
  const Gpu slow = read_gpu(resolve(
      "gpus",
      parse_text("{name: a100-sxm, efficiency: {gemm: {layout_time: {wgrad: 1.25}}}}", "")));
  GemmWork w = product(4096, 4096, 8192);
  CHECK(burst(slow, w) == burst(plain, w));
  w.layout = GemmLayout::kWgrad;
  CHECK(burst(slow, w) == Approx(1.25 * burst(plain, w)).epsilon(1e-12));
}

TEST_CASE("a type that shares a table has factors of its own") {
  const Gpu gpu = shipped("h200-sxm");
  GemmWork w = product(8192, 4096, 4096);
  w.dtype = w.out = DType::kTf32;
  const double forward = burst(gpu, w);
  w.layout = GemmLayout::kWgrad;
  const auto& factors = gpu.gemm->type_time.at(DType::kTf32);
  CHECK(factors[2] > 1.3);  // Hopper's tensor cores read tf32 along k only
  CHECK(burst(gpu, w) / forward == Approx(factors[2] / factors[0]).epsilon(1e-9));
}

TEST_CASE("training's factor is linear in the logarithm of time and constant beyond its knots") {
  GemmTrainingTime time;
  CHECK(time.at(Seconds(1), GemmLayout::kForward) == 1);
  time.microseconds = {10, 1000};
  time.factor = {{{1.2, 0.8}, {1, 1}, {2, 2}}};
  CHECK(time.at(Seconds(1e-6), GemmLayout::kForward) == 1.2);
  CHECK(time.at(Seconds(100e-6), GemmLayout::kForward) == Approx(1.0));
  CHECK(time.at(Seconds(1), GemmLayout::kForward) == 0.8);
  CHECK(time.at(Seconds(100e-6), GemmLayout::kWgrad) == 2);
}

TEST_CASE("training's factor applies at sustained clocks only") {
  Gpu gpu = shipped("h200-sxm");
  GemmModel curve_alone = *gpu.gemm;
  curve_alone.training_tables.clear();
  gpu.gemm = std::make_shared<const GemmModel>(curve_alone);
  const GemmWork w = product(8192, 128256, 4096);
  const Seconds at_burst = kernel_time(gpu, w, Clocks::kBurst);
  CHECK(ratio(kernel_time(gpu, w, Clocks::kSustained), at_burst) ==
        Approx(gpu.gemm->training.at(at_burst, w.layout)).epsilon(1e-9));
}

TEST_CASE("a missing table is a user's mistake that names the file") {
  const Value tree = parse_text(
      "architecture: test\nsm_count: 10\nboost_clock_mhz: 1000\npeak: {bf16: 100 TFLOP/s}\n"
      "memory: 10 GB\nmemory_bandwidth: 1000 GB/s\n"
      "efficiency: {gemm: {bf16: {table: none.bin}}}\n",
      "/nowhere/gpu.yaml");
  const Gpu gpu = read_gpu(tree);  // not read before it is needed
  CHECK_THROWS_WITH(burst(gpu, product(8, 8, 8)),
                    Catch::Contains("gpu.yaml:7") && Catch::Contains("/nowhere/none.bin"));
}

TEST_CASE("accumulating into fp32 costs what its further traffic takes") {
  const Gpu gpu = shipped("h200-sxm");
  GemmWork plain = product(8192, 8192, 2048);
  plain.layout = GemmLayout::kWgrad;
  GemmWork wide = plain;
  wide.out = DType::kFp32;
  wide.accumulate = true;
  // Eight bytes an element rather than two.
  const double further = 6.0 * 8192 * 8192 / gpu.memory_bandwidth.value;
  CHECK(burst(gpu, wide) - burst(gpu, plain) == Approx(1.25 * further));
}
