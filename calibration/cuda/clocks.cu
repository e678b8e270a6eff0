// Sustained rate under the power limit: clocks.csv.
//
// usage: clocks OUT_DIRECTORY [BUDGET_SECONDS]
//
// A matrix product runs for seconds on end; every 50 ms a row says how long one took, and the SM
// clock that its multiprocessors ran at, from the GPU's own counters (clock64 over globaltimer).
// The first rows are the burst, the last ones the sustained rate. No driver library is needed.

#include <cuda_bf16.h>

#include <chrono>
#include <cstdint>

#include "cublaslt.cuh"

using namespace rehearse::calibration;

namespace {

// One thread counts cycles over about 200 us of global time.
__global__ void sample_clock(long long* cycles_and_ns) {
  unsigned long long begin_ns = 0, now_ns = 0;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin_ns));
  const long long begin = clock64();
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now_ns));
  } while (now_ns - begin_ns < 200'000);
  cycles_and_ns[0] = clock64() - begin;
  cycles_and_ns[1] = static_cast<long long>(now_ns - begin_ns);
}

struct Load {
  const char* name;
  Problem problem;
};
constexpr Load kLoads[] = {
    {"gemm_8192x8192x8192", {8192, 8192, 8192, Layout::kForward, false}},
    {"gemm_8192x22016x4096", {8192, 22016, 4096, Layout::kForward, false}},
    {"gemm_wgrad_22016x4096x8192", {22016, 4096, 8192, Layout::kWgrad, false}},
    {"gemm_4096x4096x4096", {4096, 4096, 4096, Layout::kForward, false}},
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  cudaStream_t stream = nullptr;
  CHECK_CUDA(cudaStreamCreate(&stream));
  cublasLtHandle_t handle = nullptr;
  CHECK_LT(cublasLtCreate(&handle));
  Csv csv(options.out + "/clocks.csv",
          "load,at_s,median_us,tflops,sm_mhz,gpu,sm_count,driver,runtime");
  const std::string machine = particulars();
  Operands operands(std::size_t{1} << 30);
  operands.fill<__nv_bfloat16>();
  long long* sample = nullptr;
  CHECK_CUDA(cudaMallocHost(&sample, 2 * sizeof(long long)));
  const double seconds = options.budget_seconds / (static_cast<double>(std::size(kLoads)) + 0.5);
  for (const Load& load : kLoads) {
    Product product(handle, load.problem, kPrecisions[0], operands.bias);
    if (!product.usable()) continue;
    const double flops = 2.0 * static_cast<double>(load.problem.m) *
                         static_cast<double>(load.problem.n) * static_cast<double>(load.problem.k);
    const int calls = std::max(4, static_cast<int>(50e-3 / (flops / 6.5e14)));
    const auto began = std::chrono::steady_clock::now();
    Events events;
    double at = 0;
    while (at < seconds) {
      events.start(stream);
      for (int i = 0; i < calls; ++i) {
        product.run(operands.first, operands.second, operands.out, operands.workspace, stream);
      }
      events.stop(stream);
      sample_clock<<<1, 1, 0, stream>>>(sample);
      CHECK_CUDA(cudaGetLastError());
      const double us = events.microseconds() / calls;
      CHECK_CUDA(cudaStreamSynchronize(stream));
      at = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
      const double mhz = 1e3 * static_cast<double>(sample[0]) / static_cast<double>(sample[1]);
      csv.row("%s,%.3f,%.3f,%.2f,%.0f,%s", load.name, at, us, flops / us * 1e-6, mhz,
              machine.c_str());
    }
  }
  CHECK_CUDA(cudaFreeHost(sample));
  CHECK_LT(cublasLtDestroy(handle));
  return 0;
}
