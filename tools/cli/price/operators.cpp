#include "tools/cli/price/operators.hpp"

#include <fmt/format.h>

#include <array>

#include "sim/base/suggest.hpp"
#include "sim/config/catalog.hpp"
#include "sim/config/value.hpp"

namespace rehearse {
namespace {

constexpr std::array kGemmKeys{
    PriceKey{"gpu", "a name in configs/gpus, a path or a mapping", true},
    PriceKey{"m", "rows of the result", true},
    PriceKey{"n", "columns of the result", true},
    PriceKey{"k", "length of the sums", true},
    PriceKey{"batch", "independent products; 1"},
    PriceKey{"dtype", "of the operands; bf16"},
    PriceKey{"layout", "forward | dgrad | wgrad; forward"},
    PriceKey{"clocks", "burst | sustained; burst"},
};
constexpr std::array kAttentionKeys{
    PriceKey{"gpu", "a name in configs/gpus, a path or a mapping", true},
    PriceKey{"batch", "sequences; 1"},
    PriceKey{"heads", "query heads", true},
    PriceKey{"kv_heads", "key and value heads; as many as heads"},
    PriceKey{"length", "queries of a sequence", true},
    PriceKey{"kv_length", "keys of a sequence; as length"},
    PriceKey{"head_size", "elements of a head", true},
    PriceKey{"direction", "forward | backward; forward"},
    PriceKey{"causal", "true | false; true"},
    PriceKey{"dropout", "true | false: of probabilities, in the kernel; false"},
    PriceKey{"flash_attention", "best | 1 | 2: FlashAttention's generation; best"},
    PriceKey{"dtype", "of the operands; bf16"},
    PriceKey{"clocks", "burst | sustained; burst"},
};
constexpr std::array kCopyKeys{
    PriceKey{"gpu", "a name in configs/gpus, a path or a mapping", true},
    PriceKey{"bytes", "copied: read once and written once", true},
    PriceKey{"class", "kernel class of the GPU's file; vectorized"},
    PriceKey{"dtype", "of the elements; bf16"},
    PriceKey{"clocks", "burst | sustained; burst"},
};
constexpr std::array kCollectiveKeys{
    PriceKey{"cluster", "a name in configs/clusters, a path or a mapping", true},
    PriceKey{"bytes", "the full buffer", true},
    PriceKey{"ranks", "GPUs that take part; all of the cluster"},
    PriceKey{"nodes", "nodes that they are spread over; as few as hold them"},
    PriceKey{"concurrent", "groups of a node that communicate at once, sharing its NICs; 1"},
    PriceKey{"algorithm", "a name of 'list collectives'; the cluster's"},
    PriceKey{"chunks", "pieces of a pipelined chain or tree; the best number"},
};

constexpr std::array kTrainingKeys{
    PriceKey{"gpu", "a name in configs/gpus, a path or a mapping", true},
    PriceKey{"gpus", "how many; 1"},
    PriceKey{"parameters", "of the model: 70B", true},
    PriceKey{"tokens", "to train on: 15T", true},
    PriceKey{"mfu", "of 6 FLOPs a parameter and token over the dense peak", true},
    PriceKey{"dtype", "whose peak; bf16"},
    PriceKey{"price", "of a GPU-hour; none"},
    PriceKey{"power", "of a GPU; its limit"},
    PriceKey{"pue", "energy of the data centre over the GPUs'; 1"},
};

constexpr std::array kOperators{
    PriceOperator{"gemm", "a matrix product, out[m,n] = x[m,k] . w[n,k]^T", kGemmKeys, price_gemm},
    PriceOperator{"attention", "fused attention", kAttentionKeys, price_attention},
    PriceOperator{"training", "a whole training run by its MFU: time, cost, energy", kTrainingKeys,
                  price_training},
    PriceOperator{"copy", "a kernel that reads and writes memory once", kCopyKeys, price_copy},
    PriceOperator{"all_reduce", "bytes: each rank's input", kCollectiveKeys, price_communication},
    PriceOperator{"all_gather", "bytes: the output", kCollectiveKeys, price_communication},
    PriceOperator{"reduce_scatter", "bytes: each rank's input", kCollectiveKeys,
                  price_communication},
    PriceOperator{"all_to_all", "bytes: each rank's buffer", kCollectiveKeys, price_communication},
    PriceOperator{"broadcast", "bytes: each rank's buffer", kCollectiveKeys, price_communication},
    PriceOperator{"send_recv", "every rank sends bytes to the next", kCollectiveKeys,
                  price_communication},
};

// A name or path stays a scalar; "{name: dgx-h100, nodes: 4}" becomes a mapping.
Value machine_field(const std::string& text) {
  return text.starts_with("{") ? parse_text(text, "") : Value::scalar(text);
}

}  // namespace

const Gpu& PriceMachines::gpu(const std::string& text) {
  const auto found = gpus_.find(text);
  if (found != gpus_.end()) return found->second;
  Gpu gpu = read_gpu(resolve("gpus", machine_field(text)));
  return gpus_.emplace(text, ideal_ ? idealised(gpu) : std::move(gpu)).first->second;
}

const Cluster& PriceMachines::cluster(const std::string& text) {
  const auto found = clusters_.find(text);
  if (found != clusters_.end()) return found->second;
  Cluster cluster = read_cluster(resolve("clusters", machine_field(text)));
  return clusters_.emplace(text, ideal_ ? idealised(cluster) : std::move(cluster)).first->second;
}

std::span<const PriceOperator> price_operators() { return kOperators; }

std::vector<std::string> price_operator_names() {
  std::vector<std::string> names;
  for (const PriceOperator& op : kOperators) names.emplace_back(op.name);
  return names;
}

const PriceOperator& find_price_operator(const std::string& name, const Mark& mark) {
  for (const PriceOperator& op : kOperators) {
    if (op.name == name) return op;
  }
  throw UserError(mark, fmt::format("unknown operator '{}'", name),
                  suggestion(name, price_operator_names()));
}

}  // namespace rehearse
