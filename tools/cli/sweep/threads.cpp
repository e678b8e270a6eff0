#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "tools/cli/sweep/interrupt.hpp"
#include "tools/cli/sweep/points.hpp"

namespace rehearse {
namespace {

// Workers take points in order and wait when they are too far ahead of what is written.
class Pool {
 public:
  Pool(const Sweep& sweep, const RowWriter& rows, PointSource& source, RowCollector& collector,
       int jobs)
      : sweep_(sweep),
        rows_(rows),
        source_(source),
        collector_(collector),
        ahead_(kPointsAhead * static_cast<std::uint64_t>(jobs)) {}

  void work() {
    EvaluationCache cache;
    try {
      std::uint64_t sequence = 0, point = 0;
      while (take(sequence, point)) {
        std::string row = evaluate_row(sweep_, rows_, point, cache);
        const std::lock_guard lock(mutex_);
        collector_.put(sequence, std::move(row), source_.position());
        room_.notify_all();
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      room_.notify_all();
    }
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  bool take(std::uint64_t& sequence, std::uint64_t& point) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return error_ || next_ < collector_.written() + ahead_; });
    if (error_ || Interrupt::signal() != 0) return false;
    const auto taken = source_.next();
    if (!taken) return false;
    sequence = next_++;
    point = *taken;
    return true;
  }

  const Sweep& sweep_;
  const RowWriter& rows_;
  PointSource& source_;
  RowCollector& collector_;
  std::uint64_t ahead_;
  std::mutex mutex_;
  std::condition_variable room_;
  std::uint64_t next_ = 0;
  std::exception_ptr error_;
};

}  // namespace

void run_threads(const Sweep& sweep, const RowWriter& rows, PointSource& source,
                 RowCollector& collector, int jobs) {
  Pool pool(sweep, rows, source, collector, jobs);
  std::vector<std::thread> workers;
  for (int i = 1; i < jobs; ++i) workers.emplace_back([&pool] { pool.work(); });
  pool.work();
  for (std::thread& w : workers) w.join();
  pool.rethrow();
}

}  // namespace rehearse
