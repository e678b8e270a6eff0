// NCCL collectives and send/receive by operation, size and rank count: nccl.csv.
//
// usage: nccl OUT_DIRECTORY [BUDGET_SECONDS]
//
// stream: enqueued one by one; graph: twenty inside one CUDA graph, so that launch cost and wire
// time separate. Times are the largest over the ranks.

#include <chrono>

#include "nccl_ranks.cuh"

using namespace rehearse::calibration;

namespace {

constexpr int kInGraph = 20;
using Clock = std::chrono::steady_clock;

// Rounds of `calls` operations (or one replay of a graph that holds as many), largest over ranks.
template <typename Enqueue>
Spread rounds(const Rank& r, Meeting& meeting, int calls, Enqueue&& enqueue) {
  Events events;
  std::vector<double> us;
  for (int round = 0; round < 9; ++round) {
    CHECK_CUDA(cudaStreamSynchronize(r.stream));
    meeting.wait();
    events.start(r.stream);
    enqueue();
    events.stop(r.stream);
    us.push_back(meeting.largest(events.microseconds() / calls));
  }
  us.erase(us.begin(), us.begin() + 2);  // warm-up
  return spread_of(us);
}

Spread in_stream(Operation o, const Rank& r, Meeting& meeting, std::size_t elements, int calls) {
  return rounds(r, meeting, calls, [&] {
    for (int i = 0; i < calls; ++i) run(o, r, elements);
  });
}

Spread in_graph(Operation o, const Rank& r, Meeting& meeting, std::size_t elements, int calls) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  CHECK_CUDA(cudaStreamBeginCapture(r.stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < calls; ++i) run(o, r, elements);
  CHECK_CUDA(cudaStreamEndCapture(r.stream, &graph));
  CHECK_CUDA(cudaGraphInstantiate(&executable, graph, 0));
  const Spread s =
      rounds(r, meeting, calls, [&] { CHECK_CUDA(cudaGraphLaunch(executable, r.stream)); });
  CHECK_CUDA(cudaStreamSynchronize(r.stream));
  meeting.wait();
  CHECK_CUDA(cudaGraphExecDestroy(executable));
  CHECK_CUDA(cudaGraphDestroy(graph));
  return s;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  const auto began = Clock::now();
  int devices = 0;
  CHECK_CUDA(cudaGetDeviceCount(&devices));
  int version = 0;
  CHECK_NCCL(ncclGetVersion(&version));
  Csv csv(options.out + "/nccl.csv",
          "operation,ranks,bytes,mode,median_us,p10_us,p90_us,algorithm_gbytes_per_s,"
          "bus_gbytes_per_s,nccl,gpu,sm_count,driver,runtime");
  const std::string machine = particulars();
  constexpr std::size_t kMost = std::size_t{1} << 30;
  for (int ranks = 2; ranks <= devices; ranks *= 2) {
    on_ranks(ranks, kMost, [&](const Rank& r, Meeting& meeting) {
      for (const Operation o : kOperations) {
        for (std::size_t bytes = 1 << 10; bytes <= kMost; bytes *= 4) {
          for (const bool graph : {false, true}) {
            const std::chrono::duration<double> spent = Clock::now() - began;
            if (meeting.largest(spent.count()) > options.budget_seconds) return;
            const int calls = bytes >= (std::size_t{16} << 20) ? 3 : kInGraph;
            const Spread s = graph ? in_graph(o, r, meeting, bytes / 2, calls)
                                   : in_stream(o, r, meeting, bytes / 2, calls);
            if (r.rank != 0) continue;
            const double rate = static_cast<double>(bytes) / s.median_us * 1e-3;
            csv.row("%s,%d,%zu,%s,%.4f,%.4f,%.4f,%.3f,%.3f,%d,%s", name_of(o), ranks, bytes,
                    graph ? "graph" : "stream", s.median_us, s.p10_us, s.p90_us, rate,
                    rate * bus_factor(o, ranks), version, machine.c_str());
          }
        }
      }
    });
  }
  return 0;
}
