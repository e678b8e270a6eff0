#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

// What the CUDA benchmarks share: every call is checked, times are medians of repetitions that go
// on until they are steady, and rows reach the file as they are measured.

namespace rehearse::calibration {

inline void check(cudaError_t code, const char* what, const char* file, int line) {
  if (code == cudaSuccess) return;
  std::fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, cudaGetErrorString(code));
  std::exit(1);
}
#define CHECK_CUDA(call) ::rehearse::calibration::check((call), #call, __FILE__, __LINE__)

struct Spread {
  double median_us = 0, p10_us = 0, p90_us = 0;
  int repetitions = 0;
};

inline Spread spread_of(std::vector<double> us) {
  Spread s;
  s.repetitions = static_cast<int>(us.size());
  if (us.empty()) return s;
  std::sort(us.begin(), us.end());
  s.median_us = us[us.size() / 2];
  s.p10_us = us[us.size() / 10];
  s.p90_us = us[us.size() * 9 / 10];
  return s;
}

// Steady: the median of the second half is within 1 % of the whole's.
inline bool steady(const std::vector<double>& us) {
  if (us.size() < 10) return false;
  const auto half = us.begin() + static_cast<std::ptrdiff_t>(us.size() / 2);
  const double late = spread_of({half, us.end()}).median_us;
  const double whole = spread_of(us).median_us;
  return std::abs(late - whole) <= 0.01 * whole;
}

class Events {
 public:
  Events() {
    CHECK_CUDA(cudaEventCreate(&begin_));
    CHECK_CUDA(cudaEventCreate(&end_));
  }
  ~Events() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;
  void start(cudaStream_t stream) { CHECK_CUDA(cudaEventRecord(begin_, stream)); }
  void stop(cudaStream_t stream) { CHECK_CUDA(cudaEventRecord(end_, stream)); }
  double microseconds() {
    CHECK_CUDA(cudaEventSynchronize(end_));
    float ms = 0;
    CHECK_CUDA(cudaEventElapsedTime(&ms, begin_, end_));
    return 1e3 * static_cast<double>(ms);
  }

 private:
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

// Microseconds of one `run`, which is enqueued `calls` times between two events, repeated until
// steady or `most` times.
inline Spread measure(cudaStream_t stream, int calls, int most, const std::function<void()>& run) {
  Events events;
  std::vector<double> us;
  for (int i = 0; i < 2; ++i) run();
  CHECK_CUDA(cudaStreamSynchronize(stream));
  while (static_cast<int>(us.size()) < most && !steady(us)) {
    events.start(stream);
    for (int i = 0; i < calls; ++i) run();
    events.stop(stream);
    us.push_back(events.microseconds() / calls);
  }
  return spread_of(us);
}

class Csv {
 public:
  Csv(const std::string& path, const char* header) : file_(std::fopen(path.c_str(), "w")) {
    if (file_ == nullptr) {
      std::fprintf(stderr, "cannot write %s\n", path.c_str());
      std::exit(2);
    }
    std::fprintf(file_, "%s\n", header);
  }
  ~Csv() { std::fclose(file_); }
  Csv(const Csv&) = delete;
  Csv& operator=(const Csv&) = delete;
  template <typename... Ts>
  void row(const char* format, Ts... values) {
    std::fprintf(file_, format, values...);
    std::fputc('\n', file_);
    std::fflush(file_);
  }

 private:
  std::FILE* file_;
};

// The GPU, driver and runtime as one comment line for a results file: the particulars of a row.
inline std::string particulars(int device = 0) {
  cudaDeviceProp p{};
  CHECK_CUDA(cudaGetDeviceProperties(&p, device));
  int driver = 0, runtime = 0;
  CHECK_CUDA(cudaDriverGetVersion(&driver));
  CHECK_CUDA(cudaRuntimeGetVersion(&runtime));
  std::string name = p.name;
  std::replace(name.begin(), name.end(), ',', ' ');
  return name + "," + std::to_string(p.multiProcessorCount) + "," + std::to_string(driver) + "," +
         std::to_string(runtime);
}
inline constexpr const char* kParticularsHeader = "gpu,sm_count,driver,runtime";

// Keeps the stream busy while the host enqueues what is to be timed.
__global__ void spin(long long cycles) {
  const long long begin = clock64();
  while (clock64() - begin < cycles) {
  }
}

// Pseudo-random values: matrix products on zeros draw less power and run faster than real ones.
template <typename T>
__global__ void fill_random(T* data, std::size_t n, unsigned seed) {
  std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x;
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (; i < n; i += stride) {
    unsigned h = static_cast<unsigned>(i) * 2654435761u + seed;
    h ^= h >> 15;
    h *= 2246822519u;
    h ^= h >> 13;
    data[i] = T((static_cast<float>(h & 0xffffu) - 32768.0f) / 32768.0f);
  }
}

struct Options {
  std::string out = ".";
  double budget_seconds = 60;
};

inline Options parse_options(int argc, char** argv) {
  Options o;
  if (argc > 1) o.out = argv[1];
  if (argc > 2) o.budget_seconds = std::atof(argv[2]);
  return o;
}

}  // namespace rehearse::calibration
