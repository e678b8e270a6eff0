#include <array>
#include <string>
#include <vector>

#include "sim/config/sections.hpp"

namespace rehearse {
namespace {

// A number, or a mapping that names its distribution.
Lengths read_lengths(Reader& parent, const std::string& key) {
  static const std::vector<std::string> kKinds{"constant", "uniform", "exponential", "lognormal"};
  Lengths out;
  const Value& v = parent.raw(key);
  if (v.is_null()) {
    parent.missing(key);
    return out;
  }
  if (v.is_scalar()) {
    out.mean = static_cast<double>(parent.required_count(key));
    return out;
  }
  Reader r = parent.child(key);
  out.kind = static_cast<Lengths::Kind>(r.choice("distribution", kKinds, 0));
  if (out.kind == Lengths::Kind::kUniform) {
    out.low = static_cast<double>(r.required_count("low"));
    out.high = static_cast<double>(r.required_count("high"));
    if (out.high < out.low) r.error("high", "it is below 'low'");
  } else {
    const bool log_normal = out.kind == Lengths::Kind::kLogNormal;
    out.mean = static_cast<double>(r.required_count(log_normal ? "median" : "mean"));
    if (log_normal) out.sigma = r.required<double>("sigma");
  }
  r.finish();
  return out;
}

// "4 /s", or a number a second.
double read_rate(Reader& r) {
  const Value& v = r.raw("rate");
  std::string text = v.is_scalar() ? v.as_scalar().text : "";
  if (text.ends_with("/s")) text.resize(text.size() - 2);
  std::size_t used = 0;
  double rate = 0;
  try {
    rate = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const bool whole = used > 0 && text.find_first_not_of(' ', used) == std::string::npos;
  if (!whole || !(rate > 0)) {
    r.error("rate", "expected requests a second, such as 4 /s");
    return 1;
  }
  return rate;
}

void read_arrival(Reader r, Serving& out) {
  if (r.has("trace")) {
    out.trace = r.required<std::string>("trace");
  } else if (r.has("rate")) {
    out.rate = read_rate(r);
  } else {
    r.error("rate", "requests arrive at a rate, or as a trace says", "arrival: {rate: 4 /s}");
  }
  out.seed = static_cast<std::uint64_t>(r.count("seed", 1, 0));
  r.finish();
}

void read_speculation(Reader r, Serving& out) {
  if (r.value().is_null()) return;
  Speculation s;
  s.draft = r.raw("draft");
  if (s.draft.is_null()) r.missing("draft");
  s.tokens = static_cast<int>(r.count("tokens", 4));
  s.acceptance = r.optional<double>("acceptance", 0.8);
  if (!(s.acceptance >= 0 && s.acceptance <= 1))
    r.error("acceptance", "expected a probability between 0 and 1");
  r.finish();
  out.speculation = s;
}

}  // namespace

Serving read_serving(Reader& r) {
  static const std::vector<std::string> kBatching{"static", "continuous", "chunked_prefill"};
  Serving out;
  read_arrival(r.child("arrival"), out);
  if (out.trace.empty()) {
    out.prompt = read_lengths(r, "prompt_length");
    out.output = read_lengths(r, "output_length");
  } else {
    for (const char* key : {"prompt_length", "output_length"})
      if (r.has(key)) r.error(key, "the trace says how long prompts and answers are");
  }
  out.requests = r.count("requests", 1000);
  out.batching = static_cast<Batching>(r.choice("scheduler", kBatching, 1));
  out.max_batch_tokens = r.count("max_batch_tokens", 8192);
  out.max_batch_size = r.count("max_batch_size", 256);
  out.block_tokens = r.count("block_tokens", 16);
  out.cuda_graph = r.optional<bool>("cuda_graph", true);
  read_speculation(r.child("speculative"), out);
  Reader apart = r.child("disaggregated");
  if (!apart.value().is_null()) {
    out.prefill_gpus = static_cast<int>(apart.required_count("prefill_gpus"));
    out.decode_gpus = static_cast<int>(apart.required_count("decode_gpus"));
    if (out.batching != Batching::kContinuous)
      r.error("scheduler", "prefill and decode on separate GPUs batch continuously");
  }
  apart.finish();
  return out;
}

}  // namespace rehearse
