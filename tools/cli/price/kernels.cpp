#include <fmt/format.h>

#include <array>

#include "sim/base/format.hpp"
#include "sim/base/suggest.hpp"
#include "tools/cli/price/operators.hpp"

namespace rehearse {

const Gpu* read_gpu_of(PriceArguments& arguments, PriceMachines& machines) {
  const std::string text = arguments.text("gpu");
  if (text.empty()) return nullptr;
  try {
    return &machines.gpu(text);
  } catch (const UserError& e) {
    for (const Diagnostic& d : e.diagnostics()) {
      if (d.mark.file.empty()) {
        arguments.error("gpu", d.message, d.hint);
      } else {
        throw;
      }
    }
    return nullptr;
  }
}

DType read_dtype(PriceArguments& arguments) {
  static const std::array<std::string, 5> kNames{"bf16", "fp16", "fp8", "tf32", "fp32"};
  return *dtype_from_string(kNames[arguments.choice("dtype", kNames)]);
}

namespace {

std::string_view to_string(Bound bound) {
  switch (bound) {
    case Bound::kCompute:
      return "compute";
    case Bound::kMemory:
      return "memory";
    case Bound::kIssue:
      return "issue";
    case Bound::kFixed:
      return "fixed";
  }
  return "";
}

Clocks read_clocks(PriceArguments& arguments) {
  static const std::array<std::string, 2> kNames{"burst", "sustained"};
  return arguments.choice("clocks", kNames) == 0 ? Clocks::kBurst : Clocks::kSustained;
}

Priced priced(const Gpu* gpu, const KernelWork& work, Clocks clocks, bool explain) {
  Priced result;
  if (!gpu) return result;
  if (!explain) {
    result.time = kernel_time(*gpu, work, clocks);
    return result;
  }
  const KernelPrice price = price_kernel(*gpu, work, clocks);
  result.time = price.time;
  const double flop_per_byte = price.bytes.value > 0 ? intensity(price.flops, price.bytes) : 0;
  const FlopsPerSecond rate = price.flops / price.time;
  const BytesPerSecond traffic = price.bytes / price.time;
  auto& facts = result.facts;
  facts.push_back({"gpu", gpu->name, "gpu", gpu->name});
  const std::string_view clock_name = clocks == Clocks::kBurst ? "burst" : "sustained";
  facts.push_back({"clocks", std::string(clock_name), "clocks", clock_name});
  facts.push_back({"FLOPs", format_flops(price.flops), "flops", price.flops.value});
  facts.push_back(
      {"bytes (every operand once)", format_bytes(price.bytes), "bytes", price.bytes.value});
  facts.push_back({"arithmetic intensity", fmt::format("{:.5g} FLOP/B", flop_per_byte),
                   "arithmetic_intensity_flop_per_byte", flop_per_byte});
  facts.push_back({"bound", std::string(to_string(price.bound)), "bound", to_string(price.bound)});
  facts.push_back({"efficiency", fmt::format("{:.1f} %", 100 * price.efficiency), "efficiency",
                   price.efficiency});
  facts.push_back({"source", price.source, "source", price.source});
  facts.push_back({"achieved", format_rate(rate), "flops_per_s", rate.value});
  facts.push_back({"traffic", format_rate(traffic), "bytes_per_s", traffic.value});
  return result;
}

}  // namespace

Priced price_gemm(std::string_view, PriceArguments& arguments, PriceMachines& machines,
                  bool explain) {
  static const std::array<std::string, 3> kLayouts{"forward", "dgrad", "wgrad"};
  const Gpu* gpu = read_gpu_of(arguments, machines);
  GemmWork work;
  work.m = arguments.count("m");
  work.n = arguments.count("n");
  work.k = arguments.count("k");
  work.batch = arguments.count("batch", 1);
  work.dtype = read_dtype(arguments);
  work.layout = static_cast<GemmLayout>(arguments.choice("layout", kLayouts));
  // Accumulation is in fp32; what is written has the operands' type, and fp8 products write bf16.
  work.out = work.dtype == DType::kFp8 ? DType::kBf16 : work.dtype;
  return priced(gpu, work, read_clocks(arguments), explain);
}

Priced price_attention(std::string_view, PriceArguments& arguments, PriceMachines& machines,
                       bool explain) {
  static const std::array<std::string, 2> kDirections{"forward", "backward"};
  static const std::array<std::string, 3> kGenerations{"best", "1", "2"};
  const Gpu* gpu = read_gpu_of(arguments, machines);
  AttentionWork work;
  work.batch = arguments.count("batch", 1);
  work.heads = arguments.count("heads");
  work.kv_heads = arguments.count("kv_heads", work.heads);
  work.length = arguments.count("length");
  work.kv_length = arguments.count("kv_length", work.length);
  work.head_size = arguments.count("head_size");
  work.causal = arguments.flag("causal", true);
  work.dropout = arguments.flag("dropout", false);
  work.generation = static_cast<int>(arguments.choice("flash_attention", kGenerations));
  work.dtype = read_dtype(arguments);
  work.direction = static_cast<AttentionDirection>(arguments.choice("direction", kDirections));
  if (work.kv_heads > work.heads || work.heads % work.kv_heads != 0) {
    arguments.error("kv_heads", fmt::format("'kv_heads' must divide heads, {}", work.heads));
  }
  return priced(gpu, work, read_clocks(arguments), explain);
}

Priced price_copy(std::string_view, PriceArguments& arguments, PriceMachines& machines,
                  bool explain) {
  const Gpu* gpu = read_gpu_of(arguments, machines);
  MemoryWork work;
  work.read = work.written = arguments.bytes("bytes");
  work.elements = work.written.value / size_of(read_dtype(arguments)).value;
  work.kernel_class = arguments.text("class", "vectorized");
  if (gpu && gpu->kernels.find(work.kernel_class) == gpu->kernels.end()) {
    std::vector<std::string> classes;
    for (const auto& [name, rates] : gpu->kernels) classes.push_back(name);
    arguments.error("class", fmt::format("no kernel class '{}'", work.kernel_class),
                    suggestion(work.kernel_class, classes));
    gpu = nullptr;
  }
  return priced(gpu, work, read_clocks(arguments), explain);
}

}  // namespace rehearse
