// Kernel launch and event costs: launch.csv.
//
// usage: launch OUT_DIRECTORY [BUDGET_SECONDS]
//
// host_*: host time of one call while the GPU keeps up or is held busy. gap_*: what the GPU spends
// on one empty kernel after another, from a stream whose launches are all queued, and inside a CUDA
// graph. latency_*: from the call to the kernel's end with an idle GPU, seen by the host.

#include <chrono>
#include <thread>

#include "common.cuh"

using namespace rehearse::calibration;

namespace {

__global__ void empty_kernel() {}
struct LargeArgument {
  char bytes[3072];
};
__global__ void large_argument_kernel(LargeArgument) {}

using Clock = std::chrono::steady_clock;
double us_since(Clock::time_point t) {
  return std::chrono::duration<double, std::micro>(Clock::now() - t).count();
}

template <typename F>
Spread host_cost(cudaStream_t stream, int calls, F&& call) {
  std::vector<double> us;
  for (int r = 0; r < 30; ++r) {
    CHECK_CUDA(cudaStreamSynchronize(stream));
    const auto began = Clock::now();
    for (int i = 0; i < calls; ++i) call();
    us.push_back(us_since(began) / calls);
  }
  CHECK_CUDA(cudaStreamSynchronize(stream));
  return spread_of(us);
}

template <typename F>
Spread latency(cudaStream_t stream, F&& call) {
  std::vector<double> us;
  for (int r = 0; r < 300; ++r) {
    const auto began = Clock::now();
    call();
    CHECK_CUDA(cudaStreamSynchronize(stream));
    us.push_back(us_since(began));
  }
  return spread_of(us);
}

// Device time per kernel of `kernels` queued ones, less nothing: the gap between starts.
Spread stream_gap(cudaStream_t stream, int kernels) {
  Events events;
  std::vector<double> us;
  for (int r = 0; r < 30; ++r) {
    spin<<<1, 1, 0, stream>>>(8'000'000);  // about 4 ms: all launches are queued behind it
    events.start(stream);
    for (int i = 0; i < kernels; ++i) empty_kernel<<<132, 128, 0, stream>>>();
    events.stop(stream);
    CHECK_CUDA(cudaGetLastError());
    us.push_back(events.microseconds() / kernels);
  }
  return spread_of(us);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  Csv csv(options.out + "/launch.csv",
          "what,parameter,median_us,p10_us,p90_us,repetitions,gpu,sm_count,driver,runtime");
  const std::string machine = particulars();
  auto row = [&](const char* what, int parameter, const Spread& s) {
    csv.row("%s,%d,%.4f,%.4f,%.4f,%d,%s", what, parameter, s.median_us, s.p10_us, s.p90_us,
            s.repetitions, machine.c_str());
  };
  cudaStream_t stream = nullptr, other = nullptr;
  CHECK_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK_CUDA(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  cudaEvent_t event = nullptr, timed = nullptr;
  CHECK_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  CHECK_CUDA(cudaEventCreate(&timed));
  empty_kernel<<<1, 1, 0, stream>>>();
  large_argument_kernel<<<1, 1, 0, stream>>>(LargeArgument{});
  CHECK_CUDA(cudaStreamSynchronize(stream));

  row("host_launch", 0, host_cost(stream, 500, [&] { empty_kernel<<<1, 32, 0, stream>>>(); }));
  row("host_launch_3KiB_arguments", 3072, host_cost(stream, 500, [&] {
        large_argument_kernel<<<1, 32, 0, stream>>>(LargeArgument{});
      }));
  row("host_event_record", 0,
      host_cost(stream, 500, [&] { CHECK_CUDA(cudaEventRecord(event, stream)); }));
  row("host_event_record_timed", 0,
      host_cost(stream, 500, [&] { CHECK_CUDA(cudaEventRecord(timed, stream)); }));
  CHECK_CUDA(cudaEventRecord(event, other));
  row("host_stream_wait_event", 0,
      host_cost(stream, 500, [&] { CHECK_CUDA(cudaStreamWaitEvent(stream, event, 0)); }));
  char* buffer = nullptr;
  CHECK_CUDA(cudaMalloc(&buffer, 1 << 20));
  row("host_memset", 0,
      host_cost(stream, 500, [&] { CHECK_CUDA(cudaMemsetAsync(buffer, 0, 1024, stream)); }));
  row("latency_launch", 0, latency(stream, [&] { empty_kernel<<<1, 32, 0, stream>>>(); }));
  row("latency_synchronize_idle", 0, latency(stream, [] {}));
  for (const int kernels : {10, 100, 500}) row("gap_stream", kernels, stream_gap(stream, kernels));

  for (const int nodes : {1, 10, 100, 1000}) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    CHECK_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < nodes; ++i) empty_kernel<<<132, 128, 0, stream>>>();
    CHECK_CUDA(cudaStreamEndCapture(stream, &graph));
    CHECK_CUDA(cudaGraphInstantiate(&executable, graph, 0));
    row("host_graph_launch", nodes,
        host_cost(stream, 5, [&] { CHECK_CUDA(cudaGraphLaunch(executable, stream)); }));
    const Spread s =
        measure(stream, 1, 60, [&] { CHECK_CUDA(cudaGraphLaunch(executable, stream)); });
    row("gap_graph", nodes,
        Spread{s.median_us / nodes, s.p10_us / nodes, s.p90_us / nodes, s.repetitions});
    CHECK_CUDA(cudaGraphExecDestroy(executable));
    CHECK_CUDA(cudaGraphDestroy(graph));
  }
  // two streams in turn, each waiting for the other's event: a cross-stream dependency
  Events events;
  std::vector<double> us;
  for (int r = 0; r < 30; ++r) {
    spin<<<1, 1, 0, stream>>>(8'000'000);
    events.start(stream);
    for (int i = 0; i < 100; ++i) {
      CHECK_CUDA(cudaEventRecord(event, stream));
      CHECK_CUDA(cudaStreamWaitEvent(other, event, 0));
      empty_kernel<<<132, 128, 0, other>>>();
      CHECK_CUDA(cudaEventRecord(timed, other));
      CHECK_CUDA(cudaStreamWaitEvent(stream, timed, 0));
      empty_kernel<<<132, 128, 0, stream>>>();
    }
    events.stop(stream);
    us.push_back(events.microseconds() / 200);
  }
  row("gap_cross_stream", 200, spread_of(us));
  CHECK_CUDA(cudaFree(buffer));
  return 0;
}
