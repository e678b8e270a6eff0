#pragma once

#include <nccl.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "common.cuh"

// A communicator of N GPUs of this host in one process: one thread a rank, as N processes would be.

namespace rehearse::calibration {

inline void check_nccl(ncclResult_t code, const char* what, const char* file, int line) {
  if (code == ncclSuccess) return;
  std::fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, ncclGetErrorString(code));
  std::exit(1);
}
#define CHECK_NCCL(call) ::rehearse::calibration::check_nccl((call), #call, __FILE__, __LINE__)

// All ranks wait for each other; with a value, all get the largest.
class Meeting {
 public:
  explicit Meeting(int ranks) : ranks_(ranks) {}
  double largest(double value) {
    std::unique_lock lock(mutex_);
    const long long mine = generation_;
    if (arrived_ == 0 || value > gathering_) gathering_ = value;
    if (++arrived_ == ranks_) {
      arrived_ = 0;
      result_ = gathering_;
      ++generation_;
      changed_.notify_all();
    } else {
      changed_.wait(lock, [&] { return generation_ != mine; });
    }
    return result_;
  }
  void wait() { largest(0); }

 private:
  const int ranks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  long long generation_ = 0;
  double gathering_ = 0, result_ = 0;
};

enum class Operation {
  kAllReduce,
  kAllGather,
  kReduceScatter,
  kBroadcast,
  kAllToAll,
  kSendRecv,
  kSend
};
inline constexpr Operation kOperations[] = {
    Operation::kAllReduce, Operation::kAllGather, Operation::kReduceScatter, Operation::kSendRecv,
    Operation::kBroadcast, Operation::kAllToAll,  Operation::kSend};
inline const char* name_of(Operation o) {
  switch (o) {
    case Operation::kAllReduce:
      return "all_reduce";
    case Operation::kAllGather:
      return "all_gather";
    case Operation::kReduceScatter:
      return "reduce_scatter";
    case Operation::kBroadcast:
      return "broadcast";
    case Operation::kAllToAll:
      return "all_to_all";
    case Operation::kSendRecv:
      return "send_recv";
    case Operation::kSend:
      return "send";
  }
  return "";
}

// Bus over algorithm bandwidth, as nccl-tests define it.
inline double bus_factor(Operation o, int ranks) {
  const double n = ranks;
  switch (o) {
    case Operation::kAllReduce:
      return 2 * (n - 1) / n;
    case Operation::kAllGather:
    case Operation::kReduceScatter:
    case Operation::kAllToAll:
      return (n - 1) / n;
    case Operation::kBroadcast:
    case Operation::kSendRecv:
    case Operation::kSend:
      return 1;
  }
  return 1;
}

struct Rank {
  int rank = 0, ranks = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  char *in = nullptr, *out = nullptr;
};

// `elements` are those of the full buffer (see README.md), 16 bits each.
inline void run(Operation o, const Rank& r, std::size_t elements) {
  const std::size_t share = elements / static_cast<std::size_t>(r.ranks);
  const auto type = ncclBfloat16;
  const int next = (r.rank + 1) % r.ranks, previous = (r.rank + r.ranks - 1) % r.ranks;
  switch (o) {
    case Operation::kAllReduce:
      CHECK_NCCL(ncclAllReduce(r.in, r.out, elements, type, ncclSum, r.comm, r.stream));
      return;
    case Operation::kAllGather:
      CHECK_NCCL(ncclAllGather(r.in, r.out, share, type, r.comm, r.stream));
      return;
    case Operation::kReduceScatter:
      CHECK_NCCL(ncclReduceScatter(r.in, r.out, share, type, ncclSum, r.comm, r.stream));
      return;
    case Operation::kBroadcast:
      CHECK_NCCL(ncclBroadcast(r.in, r.out, elements, type, 0, r.comm, r.stream));
      return;
    case Operation::kAllToAll:
      CHECK_NCCL(ncclGroupStart());
      for (int peer = 0; peer < r.ranks; ++peer) {
        const std::size_t at = 2 * share * static_cast<std::size_t>(peer);
        CHECK_NCCL(ncclSend(r.in + at, share, type, peer, r.comm, r.stream));
        CHECK_NCCL(ncclRecv(r.out + at, share, type, peer, r.comm, r.stream));
      }
      CHECK_NCCL(ncclGroupEnd());
      return;
    case Operation::kSendRecv:
      CHECK_NCCL(ncclGroupStart());
      CHECK_NCCL(ncclSend(r.in, elements, type, next, r.comm, r.stream));
      CHECK_NCCL(ncclRecv(r.out, elements, type, previous, r.comm, r.stream));
      CHECK_NCCL(ncclGroupEnd());
      return;
    case Operation::kSend:
      if (r.rank == 0) CHECK_NCCL(ncclSend(r.in, elements, type, 1, r.comm, r.stream));
      if (r.rank == 1) CHECK_NCCL(ncclRecv(r.out, elements, type, 0, r.comm, r.stream));
      return;
  }
}

// Runs `body` on `ranks` GPUs, one thread each, with a communicator and two buffers of `bytes`.
template <typename Body>
void on_ranks(int ranks, std::size_t bytes, Body&& body) {
  ncclUniqueId id;
  CHECK_NCCL(ncclGetUniqueId(&id));
  Meeting meeting(ranks);
  std::vector<std::thread> threads;
  for (int i = 0; i < ranks; ++i) {
    threads.emplace_back([&, i] {
      CHECK_CUDA(cudaSetDevice(i));
      Rank r;
      r.rank = i;
      r.ranks = ranks;
      CHECK_CUDA(cudaStreamCreateWithFlags(&r.stream, cudaStreamNonBlocking));
      CHECK_CUDA(cudaMalloc(&r.in, bytes));
      CHECK_CUDA(cudaMalloc(&r.out, bytes));
      CHECK_CUDA(cudaMemset(r.in, 0, bytes));
      CHECK_NCCL(ncclCommInitRank(&r.comm, ranks, id, i));
      body(r, meeting);
      CHECK_CUDA(cudaStreamSynchronize(r.stream));
      meeting.wait();
      CHECK_NCCL(ncclCommDestroy(r.comm));
      CHECK_CUDA(cudaFree(r.in));
      CHECK_CUDA(cudaFree(r.out));
    });
  }
  for (std::thread& t : threads) t.join();
}

}  // namespace rehearse::calibration
