#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>
#include <sstream>

#include "sim/base/error.hpp"
#include "strategies/serving/serving.hpp"

namespace rehearse {
namespace {

// Numbers of a stream that is the same on every machine: the engine is fixed by the standard, its
// distributions are not.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : engine_(seed) {}
  double uniform() { return (static_cast<double>(engine_() >> 11U) + 0.5) * 0x1p-53; }
  double exponential() { return -std::log(uniform()); }
  double normal() {
    const double radius = std::sqrt(2 * exponential());
    return radius * std::cos(2 * 3.14159265358979323846 * uniform());
  }

 private:
  std::mt19937_64 engine_;
};

std::int64_t length(const Lengths& l, Draw& draw) {
  double value = l.mean;
  switch (l.kind) {
    case Lengths::Kind::kConstant:
      break;
    case Lengths::Kind::kUniform:
      value = std::floor(l.low + draw.uniform() * (l.high - l.low + 1));
      break;
    case Lengths::Kind::kExponential:
      value = l.mean * draw.exponential();
      break;
    case Lengths::Kind::kLogNormal:
      value = l.mean * std::exp(l.sigma * draw.normal());
      break;
  }
  return std::max<std::int64_t>(1, std::llround(value));
}

std::vector<Request> read_trace(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw UserError({path, 0, 0}, "cannot read the trace of requests");
  std::vector<Request> out;
  std::string line;
  for (int n = 1; std::getline(in, line); ++n) {
    if (line.empty() || (n == 1 && line.find_first_of("0123456789") != 0)) continue;
    Request r;
    char first = 0, second = 0;
    std::istringstream fields(line);
    fields >> r.arrival >> first >> r.prompt >> second >> r.output;
    if (!fields || first != ',' || second != ',' || r.arrival < 0 || r.prompt < 1 || r.output < 1)
      throw UserError({path, n, 1}, fmt::format("not a request: '{}'", line),
                      "arrival_s,prompt_tokens,output_tokens");
    out.push_back(r);
  }
  if (out.empty()) throw UserError({path, 0, 0}, "the trace has no requests");
  std::stable_sort(out.begin(), out.end(),
                   [](const Request& a, const Request& b) { return a.arrival < b.arrival; });
  return out;
}

}  // namespace

std::vector<Request> make_requests(const Serving& serving) {
  if (!serving.trace.empty()) return read_trace(serving.trace);
  Draw draw(serving.seed);
  std::vector<Request> out(static_cast<std::size_t>(serving.requests));
  double now = 0;
  for (Request& r : out) {
    now += draw.exponential() / serving.rate;
    r = {now, length(serving.prompt, draw), length(serving.output, draw)};
  }
  return out;
}

}  // namespace rehearse
