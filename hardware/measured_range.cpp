#include "hardware/measured_range.hpp"

#include "hardware/attention_model.hpp"
#include "hardware/gemm_model.hpp"

namespace rehearse {
namespace {

struct Outside {
  const Gpu& gpu;
  Clocks clocks;

  double operator()(const GemmWork& w) const { return gemm_octaves_outside(gpu, w, clocks); }
  double operator()(const AttentionWork& w) const {
    return attention_octaves_outside(gpu, w, clocks);
  }
  double operator()(const MemoryWork& w) const {
    const auto found = gpu.kernels.find(w.kernel_class);
    if (found == gpu.kernels.end() || found->second.shapes == nullptr || w.rows < 1) return 0;
    const auto& axes = found->second.shapes->get().grid().axes;
    return octaves_beyond(axes[1], w.rows) + octaves_beyond(axes[2], w.elements / w.rows);
  }
};

}  // namespace

double octaves_outside(const Gpu& gpu, const KernelWork& work, Clocks clocks) {
  return gpu.ideal ? 0 : std::visit(Outside{gpu, clocks}, work);
}

}  // namespace rehearse
