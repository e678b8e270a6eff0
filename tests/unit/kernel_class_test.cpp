#include "sim/report/kernel_class.hpp"

#include <catch2/catch.hpp>

using namespace rehearse;

TEST_CASE("PyTorch's kernel names tell their class") {
  const std::pair<const char*, KernelClass> cases[] = {
      {"nvjet_sm90_tst_256x128_64x4_1x2_h_bz_coopA_NNT", KernelClass::kMatrixProduct},
      {"void cutlass::Kernel2<cutlass_80_simt_sgemm_256x128_8x4_nt_align1>(cutlass_80",
       KernelClass::kMatrixProduct},
      {"cudnn_generated_fort_native_sdpa_sm90_flash_bprop_wgmma_f16_knob_26_64x64x64",
       KernelClass::kAttention},
      {"fmha_cutlassF_f32_aligned_64x128_rf_sm80(PyTorchMemEffAttention", KernelClass::kAttention},
      {"void at::native::(anonymous namespace)::multi_tensor_apply_kernel<at::native::(anonymous "
       "namespace)::FusedOptimizerTensorListMetadata<4>, at::native::(anonymous",
       KernelClass::kOptimizer},
      {"void at::native::(anonymous namespace)::multi_tensor_apply_kernel<at::native::(anonymous "
       "namespace)::TensorListMetadata<2>, at::native::(anonymous namespace)::C",
       KernelClass::kCopy},
      {"void at::native::elementwise_kernel<128, 4, "
       "at::native::gpu_kernel_impl_nocast<at::native::direct_copy_kernel_cuda(at::",
       KernelClass::kCopy},
      {"void at::native::vectorized_elementwise_kernel<8, "
       "at::native::GeluCUDAKernelImpl(at::TensorIteratorBase&, at::native::GeluType)",
       KernelClass::kElementwise},
      {"void at::native::(anonymous namespace)::cunn_SoftMaxForward<4, float, float, float, ",
       KernelClass::kReduction},
      {"void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<c10::BFloat16",
       KernelClass::kReduction},
      {"ncclDevKernel_ReduceScatter_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
       KernelClass::kReduceScatter},
      {"a kernel that nobody knows", KernelClass::kOther}};
  for (const auto& [name, is] : cases) {
    INFO(name);
    CHECK(to_string(classify_kernel(name)) == to_string(is));
  }
}
