#include "tools/cli/sweep/job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>

#include "sim/base/error.hpp"

#ifdef REHEARSE_MPI
#include <mpi.h>
#include <signal.h>

#include <array>
#include <chrono>
#include <exception>
#include <thread>
#include <vector>

#include "tools/cli/sweep/interrupt.hpp"
#endif

namespace rehearse {
namespace {

int number_in(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? 0 : std::atoi(text);
}

// Processes that the launcher says it has started: Open MPI's, PMI's, Slurm's.
int launched_processes() {
  int most = 1;
  for (const char* v : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
    most = std::max(most, number_in(v));
  return most;
}

}  // namespace

#ifdef REHEARSE_MPI

namespace {

enum Tag : int { kPointTag = 1, kRowTag, kStopTag };
constexpr std::uint64_t kQueued = 2;  // points at a worker: one simulated, one that waits

// A message from anyone, without keeping a core busy while there is none.
MPI_Status await_message() {
  int there = 0;
  MPI_Status status;
  for (int tries = 0;; ++tries) {
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &there, &status);
    if (there != 0) return status;
    if (tries > 100) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

std::string receive_text(const MPI_Status& status) {
  int size = 0;
  MPI_Get_count(&status, MPI_CHAR, &size);
  std::string text(static_cast<std::size_t>(size), '\0');
  MPI_Recv(text.data(), size, MPI_CHAR, status.MPI_SOURCE, status.MPI_TAG, MPI_COMM_WORLD,
           MPI_STATUS_IGNORE);
  return text;
}

void send_text(const std::string& text, int to, int tag) {
  MPI_Send(text.data(), static_cast<int>(text.size()), MPI_CHAR, to, tag, MPI_COMM_WORLD);
}

}  // namespace

Job::Job() {
  const int launched = launched_processes();
  if (launched == 1) return;
  MPI_Init(nullptr, nullptr);
  started_ = true;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  if (size_ < launched)
    throw UserError({},
                    fmt::format("started as {} processes that do not know of each other", launched),
                    "start them with mpirun, or with srun --mpi=pmix");
  // Rank 0 says when to stop; a signal to all ends the points that are under way.
  if (rank_ > 0)
    for (const int number : {SIGINT, SIGTERM}) ::signal(number, SIG_IGN);
}

Job::~Job() {
  if (!started_) return;
  if (rank_ == 0) announce("");
  MPI_Finalize();
}

void Job::announce(const std::string& fingerprint) {
  if (size_ == 1 || announced_) return;
  announced_ = true;
  std::array<char, 64> buffer{};
  fingerprint.copy(buffer.data(), buffer.size() - 1);
  MPI_Bcast(buffer.data(), static_cast<int>(buffer.size()), MPI_CHAR, 0, MPI_COMM_WORLD);
}

std::string Job::await_announcement() {
  std::array<char, 64> buffer{};
  MPI_Bcast(buffer.data(), static_cast<int>(buffer.size()), MPI_CHAR, 0, MPI_COMM_WORLD);
  return buffer.data();
}

void Job::hand_out(PointSource& source, RowCollector& collector) {
  const auto workers = static_cast<std::uint64_t>(size_ - 1);
  std::vector<int> idle;  // a worker stands here once for every point that it could take
  for (std::uint64_t i = 0; i < kQueued; ++i)
    for (int w = size_ - 1; w > 0; --w) idle.push_back(w);
  std::uint64_t next = 0, under_way = 0;
  bool more = true;
  const auto fill = [&] {
    while (more && !idle.empty() && next < collector.written() + kPointsAhead * workers) {
      const auto point = Interrupt::signal() != 0 ? std::nullopt : source.next();
      more = point.has_value();
      if (!more) return;
      const std::array<std::uint64_t, 2> message{next++, *point};
      MPI_Send(message.data(), 2, MPI_UINT64_T, idle.back(), kPointTag, MPI_COMM_WORLD);
      idle.pop_back();
      ++under_way;
    }
  };
  std::exception_ptr error;
  for (fill(); under_way > 0; fill()) {
    const MPI_Status status = await_message();
    const std::string text = receive_text(status);
    const std::size_t space = text.find(' ');
    try {
      if (!error)
        collector.put(std::stoull(text.substr(0, space)), text.substr(space + 1),
                      source.position());
    } catch (...) {  // the others are told to stop before anyone hears of it
      error = std::current_exception();
      more = false;
    }
    idle.push_back(status.MPI_SOURCE);
    --under_way;
  }
  for (int w = 1; w < size_; ++w) send_text("", w, kStopTag);
  if (error) std::rethrow_exception(error);
}

void Job::abandon(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

void Job::work(const std::function<std::string(std::uint64_t)>& row_of) {
  while (true) {
    const MPI_Status status = await_message();
    if (status.MPI_TAG == kStopTag) {
      receive_text(status);
      return;
    }
    std::array<std::uint64_t, 2> message{};
    MPI_Recv(message.data(), 2, MPI_UINT64_T, 0, kPointTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    send_text(fmt::format("{} {}", message[0], row_of(message[1])), 0, kRowTag);
  }
}

#else

Job::Job() {
  if (launched_processes() > 1)
    throw UserError(
        {}, fmt::format("started as {} processes, but this build has no MPI", launched_processes()),
        "install libopenmpi-dev and build again, or use --jobs on one machine");
}

Job::~Job() = default;
void Job::announce(const std::string&) {}
std::string Job::await_announcement() { return {}; }
void Job::abandon(int) {}
void Job::hand_out(PointSource&, RowCollector&) {}
void Job::work(const std::function<std::string(std::uint64_t)>&) {}

#endif

}  // namespace rehearse
