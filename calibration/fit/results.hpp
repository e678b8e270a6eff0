#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace rehearse {

// A call of an operator as `calibration/pytorch` measured it (calibration/README.md, Columns).
struct MeasuredCall {
  std::string op;
  std::string dtype;
  std::string direction;
  std::map<std::string, std::string> parameters;
  double microseconds = 0;  // of its kernels, but for memsets, which a runtime lists on their own

  // Throws std::runtime_error when there is no such parameter, or it is not a whole number.
  std::int64_t number(const std::string& parameter) const;
};

// The calls of a results file, one row a kernel, in the order of the file.
std::vector<MeasuredCall> read_calls(const std::string& path);

}  // namespace rehearse
