#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace rehearse {

// A line on stderr that overwrites itself: how far, how fast, how long still. Only on a terminal.
class Progress {
 public:
  // `total` positions, of which `begin` are behind already.
  Progress(std::uint64_t total, std::uint64_t begin);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Of this run: points that are done, and the position that is reached. Cheap when called often.
  void show(std::uint64_t points, std::uint64_t position);

 private:
  using Clock = std::chrono::steady_clock;
  bool terminal_;
  bool shown_ = false;
  std::uint64_t total_, begin_;
  Clock::time_point start_ = Clock::now(), last_{};
};

// The text of such a line.
std::string progress_text(std::uint64_t points, std::uint64_t position, std::uint64_t begin,
                          std::uint64_t total, double seconds);

}  // namespace rehearse
