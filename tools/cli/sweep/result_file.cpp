#include "tools/cli/sweep/result_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "sim/base/error.hpp"

namespace rehearse {
namespace {

constexpr const char* kWayOut = "write to another file with --out, or start over with --restart";

// Reads a file line by line; a last line without its newline is not one.
class Lines {
 public:
  explicit Lines(int file) : file_(file) {}

  bool next(std::string& line) {
    while (true) {
      const std::size_t end = buffer_.find('\n', at_);
      if (end != std::string::npos) {
        line.assign(buffer_, at_, end - at_);
        offset_ += static_cast<off_t>(end - at_ + 1);
        at_ = end + 1;
        return true;
      }
      buffer_.erase(0, at_);
      at_ = 0;
      std::array<char, 1 << 16> piece;
      const ssize_t n = ::read(file_, piece.data(), piece.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      buffer_.append(piece.data(), static_cast<std::size_t>(n));
    }
  }
  off_t offset() const { return offset_; }             // behind the last whole line
  const std::string& rest() const { return buffer_; }  // what follows it

 private:
  int file_;
  std::string buffer_;
  std::size_t at_ = 0;
  off_t offset_ = 0;
};

}  // namespace

ResultFile::ResultFile(const std::string& path, const RowWriter& rows, bool restart,
                       const Resume& resume)
    : path_(path) {
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file_ < 0) fail(std::strerror(errno));
  try {
    struct stat status {};
    if (::fstat(file_, &status) != 0 || !S_ISREG(status.st_mode)) fail("it is not a plain file");
    lock();
    if (restart && ::ftruncate(file_, 0) != 0) fail(std::strerror(errno));
    take_over(rows, resume);
  } catch (...) {
    ::close(file_);
    throw;
  }
}

ResultFile::~ResultFile() { ::close(file_); }

void ResultFile::fail(const std::string& what) const {
  throw UserError({}, fmt::format("cannot write '{}': {}", path_, what));
}

void ResultFile::lock() {
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK) fail("another sweep is writing to it");
  // A file system without locks: go on without.
}

void ResultFile::check(const RowWriter& rows, const Resume& resume, const std::string& line,
                       std::uint64_t number) {
  const Mark mark{path_, static_cast<int>(number), 0};
  const auto row = rows.parse(line);
  if (!row) throw UserError(mark, "not a row of this sweep", kWayOut);
  if (row->fingerprint != rows.fingerprint())
    throw UserError(mark,
                    fmt::format("the row is of another sweep ({}, and this one is {}): the sweep "
                                "file, a file that it names or an option has changed",
                                row->fingerprint, rows.fingerprint()),
                    kWayOut);
  if (!resume.expected(row->point))
    throw UserError(mark, fmt::format("point {} does not come next in this sweep", row->point),
                    kWayOut);
  resume.known(*row);
}

void ResultFile::take_over(const RowWriter& rows, const Resume& resume) {
  Lines lines(file_);
  std::string line;
  std::uint64_t number = 0;
  if (!rows.header().empty()) {
    ++number;
    if (!lines.next(line)) {  // empty, or its header is torn
      if (!rows.header().starts_with(lines.rest()))
        throw UserError({path_, 1, 0}, "not the header of this sweep's results", kWayOut);
      if (::ftruncate(file_, 0) != 0 || ::lseek(file_, 0, SEEK_SET) != 0)
        fail(std::strerror(errno));
      append(rows.header());
      return;
    }
    if (line + "\n" != rows.header())
      throw UserError({path_, 1, 0}, "not the header of this sweep's results", kWayOut);
  }
  while (lines.next(line)) {
    check(rows, resume, line, ++number);
    ++taken_over_;
  }
  if (::ftruncate(file_, lines.offset()) != 0 ||
      ::lseek(file_, lines.offset(), SEEK_SET) != lines.offset())
    fail(std::strerror(errno));
}

void ResultFile::append(const std::string& lines) {
  for (std::size_t done = 0; done < lines.size();) {
    const ssize_t n = ::write(file_, lines.data() + done, lines.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(std::strerror(errno));
    done += static_cast<std::size_t>(n);
  }
}

}  // namespace rehearse
