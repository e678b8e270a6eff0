// Matrix products through cuBLASLt by layout, precision and bias: gemm_cublaslt.csv.
//
// usage: gemm OUT_DIRECTORY [BUDGET_SECONDS]
//
// fp8 on Hopper exists in the forward layout only (both operands along k); what does not exist is
// left out.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <chrono>
#include <cstdint>

#include "cublaslt.cuh"

using namespace rehearse::calibration;

namespace {

struct Shape {
  long long n, k;
};
constexpr Shape kShapes[] = {
    {4096, 4096}, {12288, 4096}, {22016, 4096}, {4096, 11008}, {3072, 2048},  {16384, 2048},
    {2048, 8192}, {2304, 768},   {3072, 768},   {768, 3072},   {4800, 1600},  {6400, 1600},
    {1600, 6400}, {6144, 4096},  {28672, 4096}, {4096, 14336}, {10240, 8192}, {8192, 28672}};
constexpr long long kTokens[] = {8192, 2048, 4096, 16384, 1024};

void fill(Operands& operands, const Precision& t) {
  switch (t.in) {
    case CUDA_R_16BF:
      operands.fill<__nv_bfloat16>();
      break;
    case CUDA_R_16F:
      operands.fill<__half>();
      break;
    case CUDA_R_8F_E4M3:
      operands.fill<__nv_fp8_e4m3>();
      break;
    default:
      operands.fill<float>();
      break;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  const auto began = std::chrono::steady_clock::now();
  cudaStream_t stream = nullptr;
  CHECK_CUDA(cudaStreamCreate(&stream));
  cublasLtHandle_t handle = nullptr;
  CHECK_LT(cublasLtCreate(&handle));
  Csv csv(options.out + "/gemm_cublaslt.csv",
          "m,n,k,dtype,layout,bias,median_us,p10_us,p90_us,repetitions,tflops,gpu,sm_count,driver,"
          "runtime");
  const std::string machine = particulars();
  Operands operands(std::size_t{2} << 30);
  for (const Precision& t : kPrecisions) {
    fill(operands, t);
    for (const long long m : kTokens) {
      for (const Shape& shape : kShapes) {
        for (const Layout layout : {Layout::kForward, Layout::kDgrad, Layout::kWgrad}) {
          for (const bool bias : {false, true}) {
            if (bias && (layout != Layout::kForward || t.out == CUDA_R_32F)) continue;
            const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(shape.n) *
                                 static_cast<double>(shape.k);
            if (flops > 2e12) continue;
            const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began;
            if (spent.count() > options.budget_seconds) return 0;
            // dgrad and wgrad of the layer x[m,k] -> y[m,n]: each has its own m, n, k
            Problem p{m, shape.n, shape.k, layout, bias};
            if (layout == Layout::kDgrad) p = {m, shape.k, shape.n, layout, bias};
            if (layout == Layout::kWgrad) p = {shape.n, shape.k, m, layout, bias};
            Product product(handle, p, t, operands.bias);
            if (!product.usable()) continue;
            const int calls = std::max(1, static_cast<int>(2e-3 / (flops / 6e14)));
            const Spread s = measure(stream, std::min(calls, 20), 12, [&] {
              product.run(operands.first, operands.second, operands.out, operands.workspace,
                          stream);
            });
            csv.row("%lld,%lld,%lld,%s,%s,%d,%.4f,%.4f,%.4f,%d,%.2f,%s", p.m, p.n, p.k, t.name,
                    name_of(layout), bias ? 1 : 0, s.median_us, s.p10_us, s.p90_us, s.repetitions,
                    flops / s.median_us * 1e-6, machine.c_str());
          }
        }
      }
    }
  }
  CHECK_LT(cublasLtDestroy(handle));
  CHECK_CUDA(cudaStreamDestroy(stream));
  return 0;
}
