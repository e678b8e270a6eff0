#pragma once

#include <cublasLt.h>

#include <array>
#include <optional>

#include "common.cuh"

// Matrix products through cuBLASLt in the three layouts of training. In row-major terms:
//   forward  out[m,n] = x[m,k] . w[n,k]^T      (both read along k)
//   dgrad    out[m,n] = g[m,k] . w[k,n]        (the second is read across k)
//   wgrad    out[m,n] = g[k,m]^T . x[k,n]      (both are read across k)
// cuBLASLt is column-major: it computes out^T[n,m] from the same memory, operands exchanged.

namespace rehearse::calibration {

inline void check_lt(cublasStatus_t code, const char* what, const char* file, int line) {
  if (code == CUBLAS_STATUS_SUCCESS) return;
  std::fprintf(stderr, "%s:%d: %s: cuBLAS status %d\n", file, line, what, static_cast<int>(code));
  std::exit(1);
}
#define CHECK_LT(call) ::rehearse::calibration::check_lt((call), #call, __FILE__, __LINE__)

enum class Layout { kForward, kDgrad, kWgrad };
inline const char* name_of(Layout l) {
  switch (l) {
    case Layout::kForward:
      return "forward";
    case Layout::kDgrad:
      return "dgrad";
    case Layout::kWgrad:
      return "wgrad";
  }
  return "";
}

struct Precision {
  const char* name;
  cudaDataType_t in, out;
  cublasComputeType_t compute;
  int in_bytes, out_bytes;
  bool fp8;
};
inline constexpr std::array<Precision, 5> kPrecisions = {{
    {"bf16", CUDA_R_16BF, CUDA_R_16BF, CUBLAS_COMPUTE_32F, 2, 2, false},
    {"fp16", CUDA_R_16F, CUDA_R_16F, CUBLAS_COMPUTE_32F, 2, 2, false},
    {"tf32", CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32, 4, 4, false},
    {"fp8", CUDA_R_8F_E4M3, CUDA_R_16BF, CUBLAS_COMPUTE_32F, 1, 2, true},
    {"bf16_out_fp32", CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F, 2, 4, false},
}};

struct Problem {
  long long m, n, k;
  Layout layout;
  bool bias;
};

// One product, its algorithm chosen by cuBLASLt's heuristic as PyTorch does (32 MiB of workspace).
class Product {
 public:
  Product(cublasLtHandle_t handle, const Problem& p, const Precision& t, const void* bias)
      : handle_(handle) {
    const cudaDataType_t scale = CUDA_R_32F;
    CHECK_LT(cublasLtMatmulDescCreate(&desc_, t.compute, scale));
    // A is the second operand of the row-major product, B the first.
    const bool a_along_k = p.layout == Layout::kForward;
    const bool b_along_k = p.layout != Layout::kWgrad;
    const cublasOperation_t op_a = a_along_k ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t op_b = b_along_k ? CUBLAS_OP_N : CUBLAS_OP_T;
    set(CUBLASLT_MATMUL_DESC_TRANSA, op_a);
    set(CUBLASLT_MATMUL_DESC_TRANSB, op_b);
    if (p.bias) {
      const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
    if (t.fp8) {
      const std::int8_t fast = 1;
      set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, fast);
    }
    create(&a_, t.in, a_along_k ? p.k : p.n, a_along_k ? p.n : p.k);
    create(&b_, t.in, b_along_k ? p.k : p.m, b_along_k ? p.m : p.k);
    create(&c_, t.out, p.n, p.m);
    cublasLtMatmulPreference_t preference = nullptr;
    CHECK_LT(cublasLtMatmulPreferenceCreate(&preference));
    const std::size_t most = kWorkspace;
    CHECK_LT(cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof(most)));
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, desc_, a_, b_, c_, c_,
                                                                 preference, 1, &result_, &found);
    usable_ = status == CUBLAS_STATUS_SUCCESS && found > 0;
    CHECK_LT(cublasLtMatmulPreferenceDestroy(preference));
  }
  ~Product() {
    cublasLtMatrixLayoutDestroy(a_);
    cublasLtMatrixLayoutDestroy(b_);
    cublasLtMatrixLayoutDestroy(c_);
    cublasLtMatmulDescDestroy(desc_);
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  static constexpr std::size_t kWorkspace = std::size_t{32} << 20;
  bool usable() const { return usable_; }  // false: this layout does not exist for the precision
  void run(const void* first, const void* second, void* out, void* workspace, cudaStream_t stream) {
    const float one = 1.0f, zero = 0.0f;
    CHECK_LT(cublasLtMatmul(handle_, desc_, &one, second, a_, first, b_, &zero, out, c_, out, c_,
                            &result_.algo, workspace, kWorkspace, stream));
  }

 private:
  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    CHECK_LT(cublasLtMatmulDescSetAttribute(desc_, attribute, &value, sizeof(value)));
  }
  static void create(cublasLtMatrixLayout_t* layout, cudaDataType_t type, long long rows,
                     long long columns) {
    CHECK_LT(cublasLtMatrixLayoutCreate(layout, type, static_cast<std::uint64_t>(rows),
                                        static_cast<std::uint64_t>(columns), rows));
  }
  cublasLtHandle_t handle_;
  cublasLtMatmulDesc_t desc_ = nullptr;
  cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, c_ = nullptr;
  cublasLtMatmulHeuristicResult_t result_{};
  bool usable_ = false;
};

// Random operands for the largest problem of a run.
class Operands {
 public:
  explicit Operands(std::size_t bytes) : bytes_(bytes) {
    for (char** p : {&first, &second, &out, &workspace}) {
      CHECK_CUDA(cudaMalloc(p, p == &workspace ? Product::kWorkspace : bytes));
    }
    CHECK_CUDA(cudaMalloc(&bias, std::size_t{1} << 20));
    CHECK_CUDA(cudaMemset(bias, 0, std::size_t{1} << 20));
  }
  ~Operands() {
    for (char* p : {first, second, out, workspace, bias}) cudaFree(p);
  }
  Operands(const Operands&) = delete;
  Operands& operator=(const Operands&) = delete;

  template <typename T>
  void fill() {
    for (char* p : {first, second}) {
      fill_random<<<1024, 256>>>(reinterpret_cast<T*>(p), bytes_ / sizeof(T), 11u);
    }
    CHECK_CUDA(cudaGetLastError());
    CHECK_CUDA(cudaDeviceSynchronize());
  }
  char *first = nullptr, *second = nullptr, *out = nullptr, *workspace = nullptr, *bias = nullptr;

 private:
  std::size_t bytes_;
};

}  // namespace rehearse::calibration
