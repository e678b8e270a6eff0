#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "hardware/work.hpp"

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

// The product that a call of `linear` runs. Its m, n, k are those of the layer
// y[m,n] = x[m,k] w[n,k]^T: dgrad computes [m,k] and wgrad [n,k].
GemmWork work_of(const MeasuredCall& call, GemmLayout layout);

}  // namespace rehearse
