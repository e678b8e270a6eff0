#include "tools/cli/sweep/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace rehearse {
namespace {

constexpr std::size_t kBarWidth = 24;
constexpr auto kInterval = std::chrono::milliseconds(200);

std::string clock_text(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds + 0.5);
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

}  // namespace

std::string progress_text(std::uint64_t points, std::uint64_t position, std::uint64_t begin,
                          std::uint64_t total, double seconds) {
  const double done = total > 0 ? static_cast<double>(position) / static_cast<double>(total) : 1;
  const auto filled = static_cast<std::size_t>(done * static_cast<double>(kBarWidth));
  const double moved = static_cast<double>(position - begin);
  std::string out = fmt::format("[{}{}] {:5.1f} %  {} points  {:.0f}/s", std::string(filled, '#'),
                                std::string(kBarWidth - filled, ' '), 100 * done, points,
                                seconds > 0 ? static_cast<double>(points) / seconds : 0.0);
  if (moved > 0)
    out += fmt::format("  {} left",
                       clock_text(seconds * static_cast<double>(total - position) / moved));
  return out;
}

Progress::Progress(std::uint64_t total, std::uint64_t begin)
    : terminal_(::isatty(STDERR_FILENO) == 1), total_(total), begin_(begin) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

void Progress::show(std::uint64_t points, std::uint64_t position) {
  if (!terminal_) return;
  const auto now = Clock::now();
  if (now - last_ < kInterval) return;
  last_ = now;
  shown_ = true;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::fputs(("\r" + progress_text(points, position, begin_, total_, seconds) + "\033[K").c_str(),
             stderr);
  std::fflush(stderr);
}

}  // namespace rehearse
