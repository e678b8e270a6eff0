#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "tools/cli/sweep/row.hpp"

namespace rehearse {

// The file that a sweep appends to, whole rows at a time and in the order of its points: at every
// moment it is a beginning of the finished file, and a torn last line. Opening it again takes over
// the rows that are there. Only one process holds it.
class ResultFile {
 public:
  // `expected` is asked for the next point of the sweep, and says of a row that is there whether it
  // is that one; `known` sees each row. Throws UserError where the file is not a beginning of this
  // sweep's, naming the line. `restart` empties it first.
  struct Resume {
    std::function<bool(std::uint64_t point)> expected;
    std::function<void(const RowWriter::Parsed&)> known;
  };
  ResultFile(const std::string& path, const RowWriter& rows, bool restart, const Resume& resume);
  ~ResultFile();
  ResultFile(const ResultFile&) = delete;
  ResultFile& operator=(const ResultFile&) = delete;

  void append(const std::string& lines);
  std::uint64_t taken_over() const { return taken_over_; }

 private:
  void lock();
  void take_over(const RowWriter& rows, const Resume& resume);
  void check(const RowWriter& rows, const Resume& resume, const std::string& line,
             std::uint64_t number);
  [[noreturn]] void fail(const std::string& what) const;

  std::string path_;
  int file_ = -1;
  std::uint64_t taken_over_ = 0;
};

}  // namespace rehearse
