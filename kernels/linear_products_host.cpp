// SPDX-License-Identifier: Apache-2.0
#include "kernels/linear_products.hpp"

namespace polyphase {

// oneDNN's product with an activation behind it writes only one of both results.
template <class Real>
void matmul_activated(const Exec& exec, Activation kind, Tensor2<Real> y_MN, Tensor2<Real> x_MN,
                      Tensor2<const Real> a_MK, Tensor2<const Real> weight_NK,
                      Tensor1<const float> bias_N, Tensor1<const bf16> rounded_bias_N) {
  matmul_and_activate(exec, kind, y_MN, x_MN, a_MK, weight_NK, bias_N, rounded_bias_N);
}

template <class Real>
BiasGradient matmul_through_activation(const Exec& exec, Activation kind, Tensor2<Real> dx_MN,
                                       Tensor2<Real> y_MN, const BiasGradient& dbias,
                                       Tensor2<const Real> dy_MK, Tensor2<const Real> weight_KN,
                                       Tensor2<const Real> x_MN) {
  return matmul_and_slope(exec, kind, dx_MN, y_MN, dbias, dy_MK, weight_KN, x_MN);
}

template <class In>
void matmul_gradients(const Exec& exec, Tensor2<float> dweight_NK, Write write,
                      const BiasGradient& dbias, Tensor2<const In> dy_MN, Tensor2<const In> a_MK) {
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
