#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hardware/cluster.hpp"
#include "hardware/gpu.hpp"
#include "tools/cli/price/arguments.hpp"

namespace rehearse {

// GPUs and clusters by the text that names them, so that a file of rows reads each once.
class PriceMachines {
 public:
  explicit PriceMachines(bool ideal) : ideal_(ideal) {}
  // `text` is a name, a path or an inline mapping. Throws UserError.
  const Gpu& gpu(const std::string& text);
  const Cluster& cluster(const std::string& text);

 private:
  bool ideal_;
  std::map<std::string, Gpu> gpus_;
  std::map<std::string, Cluster> clusters_;
};

// One line of the answer: for people, and for programs (SI base units, the unit in the name).
struct PriceFact {
  std::string label;
  std::string text;
  std::string key;
  nlohmann::ordered_json value;
};

struct Priced {
  Seconds time{0};
  std::vector<PriceFact> facts;
};

struct PriceOperator {
  std::string_view name;
  std::string_view summary;
  std::span<const PriceKey> keys;
  // Prices one row; mistakes go to the arguments' diagnostics, and what it returns then means
  // nothing. Without `explain` only the time is filled in.
  Priced (*price)(std::string_view name, PriceArguments& arguments, PriceMachines& machines,
                  bool explain);
};

std::span<const PriceOperator> price_operators();
std::vector<std::string> price_operator_names();
// Throws UserError with the nearest name.
const PriceOperator& find_price_operator(const std::string& name, const Mark& mark = {});

// The keys `gpu` and `dtype`; null where the GPU cannot be read, which is then reported.
const Gpu* read_gpu_of(PriceArguments& arguments, PriceMachines& machines);
DType read_dtype(PriceArguments& arguments);

Priced price_gemm(std::string_view, PriceArguments&, PriceMachines&, bool explain);
Priced price_attention(std::string_view, PriceArguments&, PriceMachines&, bool explain);
Priced price_copy(std::string_view, PriceArguments&, PriceMachines&, bool explain);
Priced price_training(std::string_view, PriceArguments&, PriceMachines&, bool explain);
Priced price_communication(std::string_view name, PriceArguments&, PriceMachines&, bool explain);

}  // namespace rehearse
