// Memory bandwidth by size: bandwidth.csv.
//
// usage: bandwidth OUT_DIRECTORY [BUDGET_SECONDS]
//
// `cold` rotates over buffers that together are many times the L2 cache, `hot` uses one again and
// again. `moved_bytes` counts reads and writes.

#include <chrono>
#include <cstdint>

#include "common.cuh"

using namespace rehearse::calibration;

namespace {

__global__ void copy_kernel(const uint4* __restrict__ in, uint4* __restrict__ out, std::size_t n) {
  std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (; i < n; i += stride) out[i] = in[i];
}

__global__ void write_kernel(uint4* __restrict__ out, std::size_t n) {
  std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (; i < n; i += stride) out[i] = make_uint4(1u, 2u, 3u, 4u);
}

__global__ void read_kernel(const uint4* __restrict__ in, uint4* __restrict__ out, std::size_t n) {
  std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  unsigned sum = 0;
  for (; i < n; i += stride) {
    const uint4 v = in[i];
    sum += v.x ^ v.y ^ v.z ^ v.w;
  }
  if (sum == 0x9e3779b9u) out[0] = make_uint4(sum, 0u, 0u, 0u);  // never: keeps the reads
}

enum class Access { kCopy, kRead, kWrite, kMemcpy, kMemset };
struct Named {
  const char* name;
  Access access;
  int touched;  // tensors read or written
};
constexpr Named kAccesses[] = {{"copy", Access::kCopy, 2},
                               {"read", Access::kRead, 1},
                               {"write", Access::kWrite, 1},
                               {"memcpy", Access::kMemcpy, 2},
                               {"memset", Access::kMemset, 1}};

void launch(Access access, char* in, char* out, std::size_t bytes, int sms, cudaStream_t stream) {
  const std::size_t n = bytes / sizeof(uint4);
  const unsigned blocks = static_cast<unsigned>(
      std::min<std::size_t>((n + 255) / 256, static_cast<std::size_t>(sms) * 16));
  auto* source = reinterpret_cast<const uint4*>(in);
  auto* target = reinterpret_cast<uint4*>(out);
  switch (access) {
    case Access::kCopy:
      copy_kernel<<<blocks, 256, 0, stream>>>(source, target, n);
      break;
    case Access::kRead:
      read_kernel<<<blocks, 256, 0, stream>>>(source, target, n);
      break;
    case Access::kWrite:
      write_kernel<<<blocks, 256, 0, stream>>>(target, n);
      break;
    case Access::kMemcpy:
      CHECK_CUDA(cudaMemcpyAsync(out, in, bytes, cudaMemcpyDeviceToDevice, stream));
      break;
    case Access::kMemset:
      CHECK_CUDA(cudaMemsetAsync(out, 0, bytes, stream));
      break;
  }
  CHECK_CUDA(cudaGetLastError());
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  const auto began = std::chrono::steady_clock::now();
  cudaDeviceProp p{};
  CHECK_CUDA(cudaGetDeviceProperties(&p, 0));
  cudaStream_t stream = nullptr;
  CHECK_CUDA(cudaStreamCreate(&stream));
  Csv csv(options.out + "/bandwidth.csv",
          "access,cache,bytes,moved_bytes,median_us,p10_us,p90_us,repetitions,gbytes_per_s,gpu,"
          "sm_count,driver,runtime");
  const std::string machine = particulars();
  const std::size_t pool = std::size_t{4} << 30;
  char *in = nullptr, *out = nullptr;
  CHECK_CUDA(cudaMalloc(&in, pool));
  CHECK_CUDA(cudaMalloc(&out, pool));
  fill_random<<<1024, 256, 0, stream>>>(reinterpret_cast<float*>(in), pool / 4, 7u);
  CHECK_CUDA(cudaGetLastError());
  CHECK_CUDA(cudaMemsetAsync(out, 0, pool, stream));
  for (const Named& named : kAccesses) {
    for (std::size_t bytes = std::size_t{64} << 10; bytes <= std::size_t{2} << 30; bytes *= 2) {
      for (const bool cold : {true, false}) {
        if (!cold && bytes > (std::size_t{128} << 20)) continue;
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began;
        if (spent.count() > options.budget_seconds) return 0;
        const std::size_t places = cold ? pool / bytes : 1;
        std::size_t next = 0;
        const int calls = bytes >= (std::size_t{64} << 20) ? 8 : 100;
        const Spread s = measure(stream, calls, 30, [&] {
          const std::size_t at = (next++ % places) * bytes;
          launch(named.access, in + at, out + at, bytes, p.multiProcessorCount, stream);
        });
        const double moved = static_cast<double>(bytes) * named.touched;
        csv.row("%s,%s,%zu,%.0f,%.4f,%.4f,%.4f,%d,%.2f,%s", named.name, cold ? "cold" : "hot",
                bytes, moved, s.median_us, s.p10_us, s.p90_us, s.repetitions,
                moved / s.median_us * 1e-3, machine.c_str());
      }
    }
  }
  CHECK_CUDA(cudaFree(in));
  CHECK_CUDA(cudaFree(out));
  CHECK_CUDA(cudaStreamDestroy(stream));
  return 0;
}
