// Compute and collectives at the same time: how each slows the other. overlap_cuda.csv.
//
// usage: overlap OUT_DIRECTORY [BUDGET_SECONDS]
//
// A chain of matrix products (cuBLASLt) or of copies on one stream, a chain of collectives on
// another, alone and together. The background has several times the subject's work, so that the
// subject lies wholly within it; then they change places.

#include <cuda_bf16.h>

#include <chrono>
#include <cstdint>
#include <memory>

#include "cublaslt.cuh"
#include "nccl_ranks.cuh"

using namespace rehearse::calibration;

namespace {

using Call = std::function<void(cudaStream_t)>;
using Clock = std::chrono::steady_clock;
constexpr double kSubjectUs = 10e3;

struct Side {
  std::string name;
  Call call;
  double alone_us = 0;
};

// Microseconds of a call on its own stream, largest over ranks.
double alone(const Rank& r, Meeting& meeting, cudaStream_t stream, const Call& call) {
  Events events;
  std::vector<double> us;
  for (int round = 0; round < 5; ++round) {
    CHECK_CUDA(cudaDeviceSynchronize());
    meeting.wait();
    spin<<<1, 1, 0, stream>>>(1'000'000);
    events.start(stream);
    for (int i = 0; i < 5; ++i) call(stream);
    events.stop(stream);
    us.push_back(meeting.largest(events.microseconds() / 5));
  }
  static_cast<void>(r);
  return spread_of(us).median_us;
}

// Microseconds of a call of the subject while the background runs on the other stream.
double together(Meeting& meeting, const Side& subject, cudaStream_t inner, const Side& background,
                cudaStream_t outer, bool* covered) {
  const int count = std::clamp(static_cast<int>(kSubjectUs / subject.alone_us), 1, 300);
  const double span = count * subject.alone_us;
  const int under = std::clamp(static_cast<int>(3 * span / background.alone_us) + 2, 3, 600);
  Events inside, outside;
  cudaEvent_t begun = nullptr;
  CHECK_CUDA(cudaEventCreateWithFlags(&begun, cudaEventDisableTiming));
  std::vector<double> us;
  *covered = true;
  for (int round = 0; round < 3; ++round) {
    CHECK_CUDA(cudaDeviceSynchronize());
    meeting.wait();
    spin<<<1, 1, 0, outer>>>(16'000'000);  // about 8 ms, to enqueue both sides
    background.call(outer);
    CHECK_CUDA(cudaEventRecord(begun, outer));
    outside.start(outer);
    for (int i = 0; i < under; ++i) background.call(outer);
    outside.stop(outer);
    CHECK_CUDA(cudaStreamWaitEvent(inner, begun, 0));
    inside.start(inner);
    for (int i = 0; i < count; ++i) subject.call(inner);
    inside.stop(inner);
    const double mine = inside.microseconds();
    *covered = meeting.largest(outside.microseconds() >= mine ? 0.0 : 1.0) < 0.5 && *covered;
    us.push_back(meeting.largest(mine / count));
  }
  CHECK_CUDA(cudaEventDestroy(begun));
  return spread_of(us).median_us;
}

struct Gemm {
  const char* name;
  Problem problem;
};
constexpr Gemm kGemms[] = {
    {"gemm_8192x22016x4096", {8192, 22016, 4096, Layout::kForward, false}},
    {"gemm_8192x3072x2048", {8192, 3072, 2048, Layout::kForward, false}},
    {"gemm_wgrad_16384x2048x8192", {16384, 2048, 8192, Layout::kWgrad, false}},
    {"gemm_4096x4096x4096", {4096, 4096, 4096, Layout::kForward, false}},
};

struct Traffic {
  Operation operation;
  std::size_t bytes;
};
constexpr Traffic kTraffic[] = {{Operation::kAllReduce, std::size_t{64} << 20},
                                {Operation::kAllReduce, std::size_t{25} << 20},
                                {Operation::kAllGather, std::size_t{128} << 20},
                                {Operation::kReduceScatter, std::size_t{128} << 20},
                                {Operation::kSendRecv, std::size_t{32} << 20}};

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  const auto began = Clock::now();
  int devices = 0;
  CHECK_CUDA(cudaGetDeviceCount(&devices));
  if (devices < 2) {
    std::puts("overlap needs two GPUs");
    return 0;
  }
  Csv csv(options.out + "/overlap_cuda.csv",
          "subject,background,ranks,subject_alone_us,subject_together_us,slowdown,"
          "background_alone_us,covered,gpu,sm_count,driver,runtime");
  const std::string machine = particulars();
  on_ranks(devices, std::size_t{256} << 20, [&](const Rank& r, Meeting& meeting) {
    cudaStream_t compute = nullptr;
    CHECK_CUDA(cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking));
    cublasLtHandle_t handle = nullptr;
    CHECK_LT(cublasLtCreate(&handle));
    Operands operands(std::size_t{1} << 30);
    operands.fill<__nv_bfloat16>();
    std::vector<std::unique_ptr<Product>> products;
    std::vector<Side> computing;
    for (const Gemm& g : kGemms) {
      products.push_back(std::make_unique<Product>(handle, g.problem, kPrecisions[0], nullptr));
      computing.push_back({g.name, [&operands, p = products.back().get()](cudaStream_t s) {
                             p->run(operands.first, operands.second, operands.out,
                                    operands.workspace, s);
                           }});
    }
    computing.push_back({"copy_256MiB", [&operands](cudaStream_t s) {
                           CHECK_CUDA(cudaMemcpyAsync(operands.out, operands.first,
                                                      std::size_t{256} << 20,
                                                      cudaMemcpyDeviceToDevice, s));
                         }});
    for (Side& side : computing) side.alone_us = alone(r, meeting, compute, side.call);
    for (const Traffic& t : kTraffic) {
      Side traffic{std::string(name_of(t.operation)) + "_" + std::to_string(t.bytes >> 20) + "MiB",
                   [&](cudaStream_t) { run(t.operation, r, t.bytes / 2); }};
      traffic.alone_us = alone(r, meeting, r.stream, traffic.call);
      for (const Side& side : computing) {
        const std::chrono::duration<double> spent = Clock::now() - began;
        if (meeting.largest(spent.count()) > options.budget_seconds) return;
        for (const bool compute_first : {true, false}) {
          const Side& subject = compute_first ? side : traffic;
          const Side& background = compute_first ? traffic : side;
          bool covered = false;
          const double us = together(meeting, subject, compute_first ? compute : r.stream,
                                     background, compute_first ? r.stream : compute, &covered);
          if (r.rank != 0) continue;
          csv.row("%s,%s,%d,%.4f,%.4f,%.4f,%.4f,%d,%s", subject.name.c_str(),
                  background.name.c_str(), r.ranks, subject.alone_us, us, us / subject.alone_us,
                  background.alone_us, covered ? 1 : 0, machine.c_str());
        }
      }
    }
  });
  return 0;
}
