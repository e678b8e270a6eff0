#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tools/cli/sweep/points.hpp"

namespace rehearse {

// The processes that one command was started as: `mpirun -n N rehearse sweep …`, or one. Rank 0
// hands out points and writes their rows, the others simulate. Without Open MPI in the build, a
// command that was started as several processes is refused.
class Job {
 public:
  Job();  // throws UserError where several processes cannot work together
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Of rank 0, once: what is to be done can be, and has this fingerprint; empty: it cannot.
  void announce(const std::string& fingerprint);
  // Of the others: waits for it.
  std::string await_announcement();

  // Ends all processes, where one cannot take part.
  void abandon(int code);

  // Rank 0's part of a sweep, and the others'.
  void hand_out(PointSource& source, RowCollector& collector);
  void work(const std::function<std::string(std::uint64_t point)>& row_of);

 private:
  int rank_ = 0, size_ = 1;
  bool started_ = false, announced_ = false;
};

}  // namespace rehearse
