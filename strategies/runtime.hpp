#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "models/op_graph.hpp"
#include "sim/base/quantity.hpp"
#include "sim/config/value.hpp"

namespace rehearse {

// A framework as data (configs/runtimes/*.yaml): which kernels an operator becomes, what issuing
// them costs the host, and how the framework keeps its states.

// Traffic of a kernel in multiples of the operator's tensors (bytes).
struct Traffic {
  double input = 0;       // first input (each input in turn under `each: input`)
  double output = 0;      // first output
  double parameters = 0;  // all parameters of the operator, as they are stored
};

struct KernelTemplate {
  std::string name;          // as the framework's profiler shows it
  std::string kernel_class;  // of the GPU file's table
  Traffic read, write;
  bool each_input = false;   // once for every input (rotary: q and k)
};

struct PassTemplate {
  Seconds host{0};  // the operator's own cost; every kernel adds Runtime::host_per_kernel
  std::vector<KernelTemplate> kernels;
  Traffic temporary;  // memory that lives only while it runs
};

struct OperatorTemplate {
  PassTemplate forward, backward;
};

struct Runtime {
  std::string name;
  std::map<std::string, OperatorTemplate> operators;  // by to_string(OpKind)
  // Work on parameters and gradients.
  PassTemplate bias_gradient;        // per biased linear
  PassTemplate accumulate_gradient;  // per parameter, second and later micro-batches
  PassTemplate cast_parameter;       // autocast: at each use in forward
  PassTemplate cast_gradient;        // autocast: in backward
  PassTemplate accumulate_residual;  // two gradients of one activation are added
  PassTemplate scale_loss;
  Seconds host_per_kernel{0};
  Seconds host_per_module{0};
  Seconds host_optimizer{0};             // per step
  Seconds host_optimizer_per_tensor{0};
  Seconds host_per_collective{0};
  Seconds host_per_message{0};
  std::map<std::string, std::string> optimizer_class;  // "adamw" -> kernel class
  bool fused_gradient_accumulation = false;  // wgrad adds into fp32 main gradients (Megatron)
  bool persistent_gradients = false;         // gradient buffers live across steps
  bool whole_parameter_shards = false;       // ZeRO 1 gives whole parameters to owners
  bool fp32_autocast_residual = false;
  bool synchronous_messages = false;         // compute waits for its sends
  bool scales_gradients = false;             // a pipeline divides gradients by its micro-batches
  bool keeps_logits = false;                 // a pipeline's last stage returns all logits
  Bytes allocation_granularity{1};
  Bytes workspace{0};
  Bytes first_bucket{0};                     // DDP's first bucket; 0: as large as the others
  double gradient_copies = 0;                // per gradient byte, read and written around a bucket

  const OperatorTemplate& of(OpKind kind) const;
};

Runtime read_runtime(const Value& tree);
// No host and no fixed cost.
Runtime idealised(const Runtime& runtime);

}  // namespace rehearse
