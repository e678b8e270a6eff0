#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tools/cli/sweep/row.hpp"

namespace rehearse {

// What a sweep came to, from its rows. Its size does not grow with the number of points.
class SweepSummary {
 public:
  explicit SweepSummary(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  void add(const RowWriter::Parsed& row);
  void leave_out(const std::string& expression) { ++left_out_[expression]; }

  std::uint64_t rows() const { return rows_; }
  std::uint64_t failed() const { return count("failed"); }
  // For a terminal: counts, reasons by how often they hold, the best points.
  std::string text() const;

 private:
  std::uint64_t count(const std::string& status) const;

  struct Reason {
    std::uint64_t count = 0;
    std::string status, example;
  };

  std::vector<std::string> keys_;
  std::uint64_t rows_ = 0;
  std::map<std::string, std::uint64_t> by_status_;
  std::map<std::string, Reason> reasons_;  // by the reason without its numbers
  std::map<std::string, std::uint64_t> left_out_;
  std::vector<RowWriter::Parsed> best_;
};

}  // namespace rehearse
