#pragma once

#include <vector>

#include "models/autograd.hpp"
#include "models/op_graph.hpp"
#include "sim/config/scenario.hpp"
#include "strategies/program.hpp"
#include "strategies/runtime.hpp"
#include "strategies/segments/column_sums.hpp"

namespace rehearse {

// What does not change while the graphs of one rank are turned into kernels.
struct KernelContext {
  const Runtime& runtime;
  const Precision& precision;
  bool causal = true;
  Program& names;  // only interns
  Multiprocessors gpu = {};
};

// The kernels that a runtime runs for operators, in launch order: sizes and names, no prices.
//
// Shapes: a linear of x [tokens, in] and weight [out, in] is out[tokens, out] in forward; dgrad is
// [tokens, in] over k = out; wgrad is [out, in] over k = tokens.
std::vector<Kernel> forward_kernels(const KernelContext& c, const OpGraph& g, const Op& op);
// Gradients with respect to inputs, and everything else that is computed with them unless
// `inputs_alone`.
std::vector<Kernel> input_gradient_kernels(const KernelContext& c, const OpGraph& g, const Op& op,
                                           bool inputs_alone = false);
// What `inputs_alone` leaves out.
std::vector<Kernel> other_gradient_kernels(const KernelContext& c, const OpGraph& g, const Op& op);
// Gradients with respect to parameters of a linear: the product, then the bias.
std::vector<Kernel> weight_gradient_kernels(const KernelContext& c, const OpGraph& g, const Op& op,
                                            bool accumulate);
// A template applied to given sizes: what `input`, `output` and `parameters` mean for it.
struct TrafficBase {
  std::vector<Bytes> inputs;
  Bytes output{0};  // the first
  Bytes parameters{0};
  Bytes element{2};          // bytes of an element, for kernels that are bound by elements
  std::int64_t columns = 0;  // last dimension of the output, for kernels with a block a few columns
  std::int64_t rows = 0;     // and what is before it
  std::vector<Bytes> outputs = {};  // but for views
  std::int64_t tokens = 0;
  std::int64_t sequences = 0;
  std::int64_t matrices = 1;  // sequences times heads of the output
};
std::vector<Kernel> template_kernels(const KernelContext& c, const PassTemplate& pass,
                                     const TrafficBase& base);
// How the runtime runs an operator; a residual addition of two types (autocast) is its own.
const OperatorTemplate& template_of(const Runtime& runtime, const OpGraph& g, const Op& op);
// Tensors that live while the pass runs: each whole multiple of the template is one.
std::vector<Bytes> temporaries(const PassTemplate& pass, const TrafficBase& base);
// Whether a sequence is gathered (a gather's forward, a scatter's backward) in one byte an element.
bool gathered_in_fp8(const KernelContext& c, const OpGraph& g, const Op& op, bool forward);

TrafficBase traffic_base(const OpGraph& g, const Op& op);

}  // namespace rehearse
