#include <array>
#include <vector>

#include "sim/base/suggest.hpp"
#include "sim/config/sections.hpp"

namespace rehearse {
namespace {

constexpr DType kF32 = DType::kFp32;
constexpr DType kB16 = DType::kBf16;
constexpr DType kF16 = DType::kFp16;

// fp8 computes its matrix products in fp8 and everything else in bf16, as Transformer Engine does;
// tf32 is a way to multiply fp32 tensors.
const std::vector<Precision>& presets() {
  static const std::vector<Precision> kPresets{
      // name, parameters, compute, matmul, gradients, reduce, states, master, autocast, sharded
      {"fp32", kF32, kF32, kF32, kF32, kF32, kF32, false, false, false},
      {"tf32", kF32, kF32, DType::kTf32, kF32, kF32, kF32, false, false, false},
      {"bf16", kB16, kB16, kB16, kB16, kB16, kB16, false, false, false},
      {"amp", kF32, kB16, kB16, kF32, kF32, kF32, false, true, false},
      {"fsdp-mixed", kF32, kB16, kB16, kF32, kF32, kF32, false, false, true},
      {"mixed", kB16, kB16, kB16, kF32, kF32, kF32, true, false, false},
      {"mixed-fp16", kF16, kF16, kF16, kF32, kF32, kF32, true, false, false},
      {"fp8", kB16, kB16, DType::kFp8, kF32, kF32, kF32, true, false, false},
      {"fsdp-fp8", kF32, kB16, DType::kFp8, kF32, kF32, kF32, false, false, true},
  };
  return kPresets;
}

Precision preset(Reader& training) {
  std::vector<std::string> names;
  std::size_t fallback = 0;
  for (const Precision& p : presets()) {
    if (p.name == "bf16") fallback = names.size();
    names.push_back(p.name);
  }
  return presets()[training.choice("precision", names, fallback)];
}

DType stored_type(Reader& r, const std::string& key) {
  static const std::vector<std::string> kNames{"bf16", "fp16", "fp32"};
  return *dtype_from_string(kNames[r.choice(key, kNames, 0)]);
}

void read_compute(Reader& r, Precision& p) {
  static const std::vector<std::string> kNames{"bf16", "fp16", "fp32", "tf32", "fp8"};
  const DType type = *dtype_from_string(kNames[r.choice("compute", kNames, 0)]);
  p.matmul = type;
  p.compute = type;
  if (type == DType::kTf32) p.compute = kF32;
  if (type == DType::kFp8) p.compute = kB16;
}

bool master_weights(Reader& r) {
  static const std::vector<std::string> kNames{"none", "false", "fp32", "true"};
  return r.choice("master_weights", kNames, 0) >= 2;
}

Precision custom(Reader& r) {
  Precision p;
  p.name = "custom";
  p.parameters = stored_type(r, "parameters");
  read_compute(r, p);
  p.gradients = stored_type(r, "gradients");
  p.reduce = stored_type(r, "reduce");
  p.optimizer_states = stored_type(r, "optimizer_states");
  p.master_weights = master_weights(r);
  // Wider parameters have to become what the kernels compute in, and autocast is how.
  p.autocast = p.parameters == kF32 && p.compute != kF32;
  r.finish();
  return p;
}

}  // namespace

Precision read_precision(Reader& training) {
  if (!training.raw("precision").is_map()) return preset(training);
  Reader fields = training.child("precision");
  return custom(fields);
}

}  // namespace rehearse
