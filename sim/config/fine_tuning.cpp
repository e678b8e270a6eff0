#include "sim/config/fine_tuning.hpp"

#include <algorithm>

#include "sim/config/sections.hpp"

namespace rehearse {
namespace {

void read_lora(Reader r, FineTuning& out) {
  out.kind = FineTuning::Kind::kLora;
  out.rank = r.required_count("rank");
  out.targets =
      r.has("targets") ? r.list<std::string>("targets") : std::vector<std::string>{"qkv", "proj"};
  if (out.targets.empty()) r.error("targets", "LoRA needs a projection to be put on");
  // The projections of a gated MLP are one product.
  for (std::string& t : out.targets)
    if (t == "gate_up" || t == "gate/up") t = "up";
  std::sort(out.targets.begin(), out.targets.end());
  out.targets.erase(std::unique(out.targets.begin(), out.targets.end()), out.targets.end());
  if (out.targeted("qkv"))
    for (const char* part : {"q", "k", "v"})
      if (out.targeted(part))
        r.error("targets", "'qkv' and '" + std::string(part) + "' are put on the same product");
  r.finish();
}

void read_adapter(Reader r, FineTuning& out) {
  out.kind = FineTuning::Kind::kAdapter;
  out.rank = r.required_count("rank");
  r.finish();
}

void read_layers(Reader& training, FineTuning& out) {
  out.kind = FineTuning::Kind::kLayers;
  const std::string key = "trainable_layers";
  if (!training.raw(key).is_list()) {
    out.last = training.count(key, 1);
    return;
  }
  out.layers = training.list<int>(key);
  std::sort(out.layers.begin(), out.layers.end());
  const bool twice = std::adjacent_find(out.layers.begin(), out.layers.end()) != out.layers.end();
  if (out.layers.empty() || out.layers.front() < 0 || twice)
    training.error(key,
                   "expected how many of the last layers train, or a list of layers, each "
                   "once, from 0");
}

}  // namespace

FineTuning read_fine_tuning(Reader& training) {
  FineTuning out;
  std::string given;
  for (const char* key : {"lora", "adapter", "trainable_layers"}) {
    if (training.raw(key).is_null()) continue;
    if (!given.empty()) {
      training.error(key, "fine-tuning is done in one way, and '" + given + "' is given too");
      continue;
    }
    given = key;
  }
  if (given == "lora") read_lora(training.child("lora"), out);
  if (given == "adapter") read_adapter(training.child("adapter"), out);
  if (given == "trainable_layers") read_layers(training, out);
  return out;
}

}  // namespace rehearse
