// SPDX-License-Identifier: Apache-2.0
#include "kernels/cublas_lt.hpp"
#include "kernels/linear_products.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

// The library's GELU is the tanh form, and its bias has the result's type. Of operands in float32
// there is no such product.
bool multiply_activated(const Exec& exec, const Tensor2<bf16>& y_MN, const Tensor2<bf16>& x_MN,
                        const Tensor2<const bf16>& a_MK, const Tensor2<const bf16>& weight_NK,
                        const Tensor1<const float>& bias_N,
                        const Tensor1<const bf16>& rounded_bias_N) {
  const KernelRegion region("matmul");
  const NotedAlready noted;  // by the steps that a pass which counts takes one by one
  // The leading dimension of what GELU goes into must be a multiple of 8.
  if (x_MN.extent(1) % 8 != 0) return false;
  const ArenaScope scope(*exec.arena);
  const auto y = y_MN.extent(0) != 0
                     ? y_MN
                     : exec.arena->take2<bf16>(static_cast<std::int64_t>(x_MN.extent(0)),
                                               static_cast<std::int64_t>(x_MN.extent(1)));
  const Tensor1<const bf16> bias = cublas_lt::rounded_bias(exec, bias_N, rounded_bias_N);
  return cublas_lt::multiply<bf16, bf16>(
      exec, y, a_MK, Transpose::kNo, weight_NK, Transpose::kYes, Write::kOverwrite,
      {.epilogue = cublas_lt::Epilogue::kBiasGelu, .bias = bias.data(), .aux = x_MN.data()});
}

// The slope is GELU's, of the tanh form, as above. That epilogue with column sums (DGELU_BGRAD) has
// them in bf16, the type of its result.
bool multiply_with_slope(const Exec& exec, const Tensor2<bf16>& dx_MN,
                         const Tensor2<const bf16>& dy_MK, const Tensor2<const bf16>& weight_KN,
                         const Tensor2<const bf16>& x_MN) {
  const KernelRegion region("matmul");
  const NotedAlready noted;
  if (x_MN.extent(1) % 8 != 0) return false;
  return cublas_lt::multiply<bf16, bf16>(
      exec, dx_MN, dy_MK, Transpose::kNo, weight_KN, Transpose::kNo, Write::kOverwrite,
      {.epilogue = cublas_lt::Epilogue::kGeluSlope, .aux = x_MN.data()});
}

// The library overwrites the sums.
template <class In>
bool multiply_with_sums(const Exec& exec, const Tensor2<float>& dweight_NK, Write write,
                        const BiasGradient& dbias, const Tensor2<const In>& dy_MN,
                        const Tensor2<const In>& a_MK) {
  if (dweight_NK.extent(0) == 0 || dbias.sum_N.extent(0) == 0) return false;
  const KernelRegion region("matmul");
  const NotedAlready noted;
  const ArenaScope scope(*exec.arena);
  const auto apart_N = exec.arena->take1<float>(static_cast<std::int64_t>(dy_MN.extent(1)));
  const bool adds = dbias.write == Write::kAccumulate;
  const Tensor1<float> sum_N = adds ? apart_N : dbias.sum_N;
  if (!cublas_lt::multiply<In, float>(
          exec, dweight_NK, dy_MN, Transpose::kYes, a_MK, Transpose::kNo, write,
          {.epilogue = cublas_lt::Epilogue::kBiasGradient, .bias = sum_N.data()}))
    return false;
  if (adds) add(exec, dbias.sum_N, Tensor1<const float>(sum_N));
  return true;
}

// A pass that counts takes the library to have a product with what goes along with it, and the
// memory of the steps as well.
template <class Steps>
void count_as_one(const Exec& exec, std::int64_t m, std::int64_t n, std::int64_t k, bool bf16,
                  const Steps& steps) {
  note_product(exec, {.m = m, .n = n, .k = k, .bf16 = bf16});
  const NotedAlready noted;
  steps();
}

}  // namespace

template <class Real>
void matmul_activated(const Exec& exec, Activation kind, Tensor2<Real> y_MN, Tensor2<Real> x_MN,
                      Tensor2<const Real> a_MK, Tensor2<const Real> weight_NK,
                      Tensor1<const float> bias_N, Tensor1<const bf16> rounded_bias_N) {
  if constexpr (sizeof(Real) == sizeof(bf16)) {
    if (kind == Activation::kGeluTanh && bias_N.extent(0) != 0) {
      if (multiply_activated(exec, y_MN, x_MN, a_MK, weight_NK, bias_N, rounded_bias_N)) return;
      if (exec.counting()) {
        return count_as_one(exec, x_MN.extent(0), x_MN.extent(1), a_MK.extent(1), true, [&] {
          matmul_and_activate(exec, kind, y_MN, x_MN, a_MK, weight_NK, bias_N, rounded_bias_N);
        });
      }
    }
  }
  matmul_and_activate(exec, kind, y_MN, x_MN, a_MK, weight_NK, bias_N, rounded_bias_N);
}

// The gradient of the bias comes with the weight's, of any activation.
template <class Real>
BiasGradient matmul_through_activation(const Exec& exec, Activation kind, Tensor2<Real> dx_MN,
                                       Tensor2<Real> y_MN, const BiasGradient& dbias,
                                       Tensor2<const Real> dy_MK, Tensor2<const Real> weight_KN,
                                       Tensor2<const Real> x_MN) {
  if constexpr (sizeof(Real) == sizeof(bf16)) {
    if (kind == Activation::kGeluTanh) {
      const bool done = multiply_with_slope(exec, dx_MN, dy_MK, weight_KN, x_MN);
      if (exec.counting()) {
        count_as_one(exec, dx_MN.extent(0), dx_MN.extent(1), dy_MK.extent(1), true, [&] {
          matmul_and_slope(exec, kind, dx_MN, y_MN, {}, dy_MK, weight_KN, x_MN);
        });
      }
      if (done || exec.counting()) {
        activation_forward<Real>(exec, kind, y_MN, x_MN);
        return dbias;
      }
    }
  }
  matmul_and_slope(exec, kind, dx_MN, y_MN, {}, dy_MK, weight_KN, x_MN);
  return dbias;
}

template <class In>
void matmul_gradients(const Exec& exec, Tensor2<float> dweight_NK, Write write,
                      const BiasGradient& dbias, Tensor2<const In> dy_MN, Tensor2<const In> a_MK) {
  if (multiply_with_sums(exec, dweight_NK, write, dbias, dy_MN, a_MK)) return;
  if (exec.counting() && dweight_NK.extent(0) != 0 && dbias.sum_N.extent(0) != 0) {
    return count_as_one(exec, dy_MN.extent(1), a_MK.extent(1), dy_MN.extent(0),
                        sizeof(In) < sizeof(float),
                        [&] { sum_and_matmul(exec, dweight_NK, write, dbias, dy_MN, a_MK); });
  }
  sum_and_matmul(exec, dweight_NK, write, dbias, dy_MN, a_MK);
}

#define POLYPHASE_LINEAR_PRODUCTS(Real)                                                         \
  template void matmul_activated<Real>(const Exec&, Activation, Tensor2<Real>, Tensor2<Real>,   \
                                       Tensor2<const Real>, Tensor2<const Real>,                \
                                       Tensor1<const float>, Tensor1<const bf16>);              \
  template BiasGradient matmul_through_activation<Real>(                                        \
      const Exec&, Activation, Tensor2<Real>, Tensor2<Real>, const BiasGradient&,               \
      Tensor2<const Real>, Tensor2<const Real>, Tensor2<const Real>);                           \
  template void matmul_gradients<Real>(const Exec&, Tensor2<float>, Write, const BiasGradient&, \
                                       Tensor2<const Real>, Tensor2<const Real>);
POLYPHASE_LINEAR_PRODUCTS(float)
POLYPHASE_LINEAR_PRODUCTS(bf16)
#undef POLYPHASE_LINEAR_PRODUCTS

}  // namespace polyphase
