#include <string>
#include <vector>

#include "sim/config/sections.hpp"

namespace rehearse {

Training read_inference_training(Reader& r) {
  Training t;
  t.precision = read_precision(r);
  const Precision& p = t.precision;
  if (p.autocast || p.sharded_fp32 || p.parameters != p.compute || p.matmul == DType::kFp8)
    r.error("precision", "this version simulates inference in one type: fp32, tf32 or bf16");
  return t;
}

Inference read_inference(Reader& r, Task task, const Precision& precision) {
  Inference i;
  const bool prefill = task == Task::kPrefill;
  i.batch = r.count("batch", 1);
  i.prompt_length = prefill ? r.required_count("prompt_length") : r.count("prompt_length", 0, 0);
  i.context_length = prefill ? r.count("context_length", 0, 0) : r.required_count("context_length");
  i.cuda_graph = r.optional<bool>("cuda_graph", false);
  const std::string compute(to_string(precision.compute));
  if (r.optional<std::string>("kv_cache", compute) != compute)
    r.error("kv_cache", "this version simulates a cache of the precision's type, " + compute);
  if (r.has("latent_attention")) {
    static const std::vector<std::string> kForms{"unabsorbed", "absorbed"};
    i.latent_attention = static_cast<CachedLatents>(r.choice("latent_attention", kForms, 0));
  }
  return i;
}

}  // namespace rehearse
