// SPDX-License-Identifier: Apache-2.0
#include <cublas_v2.h>

#include <limits>
#include <map>
#include <memory>

#include "kernels/bf16_support.hpp"
#include "kernels/cublas_lt.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/matmul_edges.hpp"
#include "kernels/matmul_plain.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

template <class Real>
constexpr cudaDataType_t kDataType = sizeof(Real) == sizeof(float) ? CUDA_R_32F : CUDA_R_16BF;

void check(cublasStatus_t status, const char* call, const ProductExtents& e) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail<SystemError>("{} failed for the product {}x{}x{}: {}", call, e.m, e.n, e.k,
                    cublasGetStatusString(status));
}

struct DestroyHandle {
  void operator()(cublasContext* handle) const { cublasDestroy(handle); }
};
using Handle = std::unique_ptr<cublasContext, DestroyHandle>;

// One handle for each stream that a thread of the host uses.
cublasHandle_t handle_of(cudaStream_t stream, const ProductExtents& e) {
  thread_local std::map<cudaStream_t, Handle> handles;
  Handle& handle = handles[stream];
  if (!handle) {
    cublasHandle_t made = nullptr;
    check(cublasCreate(&made), "cublasCreate", e);
    handle.reset(made);
    check(cublasSetStream(made, stream), "cublasSetStream", e);
  }
  return handle.get();
}

// cuBLAS counts columns first: seen that way row-major tensors are transposed, and yᵀ = op(b)ᵀ ·
// op(a)ᵀ.
template <class In, class Out>
void multiply(const Exec& exec, const Tensor2<Out>& y_MN, const Tensor2<const In>& a,
              Transpose op_a, const Tensor2<const In>& b, Transpose op_b, Write write,
              const ProductExtents& e) {
  constexpr std::int64_t kMax = std::numeric_limits<int>::max();
  POLYPHASE_PROMISE(e.m <= kMax && e.n <= kMax && e.k <= kMax,
                    "an extent of the product {}x{}x{} exceeds cuBLAS's integers", e.m, e.n, e.k);
  const auto blas = [](Transpose op) { return op == Transpose::kNo ? CUBLAS_OP_N : CUBLAS_OP_T; };
  const int m = static_cast<int>(e.m), n = static_cast<int>(e.n), k = static_cast<int>(e.k);
  const float one = 1.0F, beta = write == Write::kAccumulate ? 1.0F : 0.0F;
  check(cublasGemmEx(handle_of(exec.space.cuda_stream(), e), blas(op_b), blas(op_a), n, m, k, &one,
                     b.data(), kDataType<In>, static_cast<int>(b.extent(1)), a.data(),
                     kDataType<In>, static_cast<int>(a.extent(1)), &beta, y_MN.data(),
                     kDataType<Out>, n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
        "cublasGemmEx", e);
}

// The product and its bias at once, in the library that has that.
template <class In, class Out>
bool multiply_with_bias(const Exec& exec, const Tensor2<Out>& y_MN, const Tensor2<const In>& a,
                        Transpose op_a, const Tensor2<const In>& b, Transpose op_b, Write write,
                        const Tensor1<const float>& bias_N,
                        const Tensor1<const bf16>& rounded_bias_N) {
  if (bias_N.extent(0) == 0) return false;
  const ArenaScope scope(*exec.arena);
  cublas_lt::Extra extra{.epilogue = cublas_lt::Epilogue::kBias, .bias = bias_N.data()};
  if constexpr (sizeof(Out) != sizeof(float))  // a bias in the type of the result
    extra.bias = cublas_lt::rounded_bias(exec, bias_N, rounded_bias_N).data();
  return cublas_lt::multiply<In, Out>(exec, y_MN, a, op_a, b, op_b, write, extra);
}

}  // namespace

bool has_bf16_products() { return true; }

template <class In, class Out>
void matmul(const Exec& exec, Tensor2<Out> y_MN, Tensor2<const In> a, Transpose op_a,
            Tensor2<const In> b, Transpose op_b, Write write, Tensor1<const float> bias_N,
            Tensor1<const bf16> rounded_bias_N) {
  const KernelRegion region("matmul");
  const ProductExtents e = product_extents(y_MN, a, op_a, b, op_b, bias_N);
  POLYPHASE_PROMISE(exec.arena != nullptr, "a product needs an arena for its workspace");
  if (e.m == 0 || e.n == 0) return;
  note_product(exec, {.m = e.m, .n = e.n, .k = e.k, .bf16 = sizeof(In) < sizeof(float)});
  if constexpr (sizeof(In) > sizeof(Out)) {
    const NotedAlready noted;
    // cuBLAS has no product of float operands with a bf16 result.
    matmul_in_float(exec, y_MN, a, op_a, b, op_b, write, bias_N);
  } else {
    if (multiply_with_bias(exec, y_MN, a, op_a, b, op_b, write, bias_N, rounded_bias_N) ||
        exec.counting())
      return;
    if (e.k == 0) {
      write_bias(exec, y_MN, write, bias_N);
      return;
    }
    multiply(exec, y_MN, a, op_a, b, op_b, write, e);
    write_bias(exec, y_MN, Write::kAccumulate, bias_N);
  }
}

template <class Real>
PackedWeight pack_weight(const Exec& exec, Tensor2<const float> w, Transpose op, std::int64_t) {
  return plain_weight<Real>(exec, w, op);
}

template <class In, class Out>
void matmul(const Exec& exec, Tensor2<Out> y_MN, Tensor2<const In> a, Transpose op_a,
            const PackedWeight& b, Write write, Tensor1<const float> bias_N) {
  const KernelRegion region("matmul");
  matmul<In, Out>(exec, y_MN, a, op_a, plain_tensor<In>(b), b.stored, write, bias_N);
}

#define POLYPHASE_MATMUL(In, Out)                                                          \
  template void matmul<In, Out>(const Exec&, Tensor2<Out>, Tensor2<const In>, Transpose,   \
                                Tensor2<const In>, Transpose, Write, Tensor1<const float>, \
                                Tensor1<const bf16>);                                      \
  template void matmul<In, Out>(const Exec&, Tensor2<Out>, Tensor2<const In>, Transpose,   \
                                const PackedWeight&, Write, Tensor1<const float>);
POLYPHASE_MATMUL(float, float)
POLYPHASE_MATMUL(float, bf16)
POLYPHASE_MATMUL(bf16, float)
POLYPHASE_MATMUL(bf16, bf16)
#undef POLYPHASE_MATMUL
template PackedWeight pack_weight<float>(const Exec&, Tensor2<const float>, Transpose,
                                         std::int64_t);
template PackedWeight pack_weight<bf16>(const Exec&, Tensor2<const float>, Transpose, std::int64_t);

}  // namespace polyphase
