// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/activation.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/matmul.hpp"

// What a linear layer multiplies, together with what comes before or behind: one product where the
// library has it, else one after the other.
namespace polyphase {

// x_MN = a_MK · weight_NKᵀ + bias_N (both biases as in matmul.hpp), and y_MN = activation(x_MN).
// Without y_MN (no elements) x_MN alone is wanted, with the very bits that it has beside y_MN.
template <class Real>
void matmul_activated(const Exec& exec, Activation kind, Tensor2<Real> y_MN, Tensor2<Real> x_MN,
                      Tensor2<const Real> a_MK, Tensor2<const Real> weight_NK,
                      Tensor1<const float> bias_N, Tensor1<const bf16> rounded_bias_N = {});

// Where the gradient of a bias goes, column sums in float32; with no elements it is not wanted.
struct BiasGradient {
  Tensor1<float> sum_N;
  Write write = Write::kOverwrite;
};

// Back through an activation: dx_MN = (dy_MK · weight_KN) · activation'(x_MN), y_MN =
// activation(x_MN) again (may be the same memory as x_MN), and dbias, the column sums of dx_MN.
// Returns what of dbias is left to do: a library that takes the slope along with the product has
// column sums in the precision of dx_MN only, and the product of the weight's gradient, which reads
// dx_MN too, has them in float32.
template <class Real>
BiasGradient matmul_through_activation(const Exec& exec, Activation kind, Tensor2<Real> dx_MN,
                                       Tensor2<Real> y_MN, const BiasGradient& dbias,
                                       Tensor2<const Real> dy_MK, Tensor2<const Real> weight_KN,
                                       Tensor2<const Real> x_MN);

// The gradients of a weight and a bias: dweight_NK = dy_MNᵀ · a_MK, written or added, and dbias,
// the column sums of dy_MN. With no elements either is not wanted.
template <class In>
void matmul_gradients(const Exec& exec, Tensor2<float> dweight_NK, Write write,
                      const BiasGradient& dbias, Tensor2<const In> dy_MN, Tensor2<const In> a_MK);

// One after the other.
template <class Real>
void matmul_and_activate(const Exec& exec, Activation kind, const Tensor2<Real>& y_MN,
                         const Tensor2<Real>& x_MN, const Tensor2<const Real>& a_MK,
                         const Tensor2<const Real>& weight_NK, const Tensor1<const float>& bias_N,
                         const Tensor1<const bf16>& rounded_bias_N) {
  matmul<Real, Real>(exec, x_MN, a_MK, Transpose::kNo, weight_NK, Transpose::kYes,
                     Write::kOverwrite, bias_N, rounded_bias_N);
  if (y_MN.extent(0) != 0) activation_forward<Real>(exec, kind, y_MN, x_MN);
}

template <class Real>
BiasGradient matmul_and_slope(const Exec& exec, Activation kind, const Tensor2<Real>& dx_MN,
                              const Tensor2<Real>& y_MN, const BiasGradient& dbias,
                              const Tensor2<const Real>& dy_MK,
                              const Tensor2<const Real>& weight_KN,
                              const Tensor2<const Real>& x_MN) {
  matmul<Real, Real>(exec, dx_MN, dy_MK, Transpose::kNo, weight_KN, Transpose::kNo);
  activation_backward<Real>(exec, kind, dx_MN, y_MN, dbias.sum_N, dbias.write, dx_MN, x_MN);
  return {};
}

template <class In>
void sum_and_matmul(const Exec& exec, const Tensor2<float>& dweight_NK, Write write,
                    const BiasGradient& dbias, const Tensor2<const In>& dy_MN,
                    const Tensor2<const In>& a_MK) {
  if (dbias.sum_N.extent(0) != 0) column_sum<In>(exec, dbias.sum_N, dbias.write, dy_MN);
  if (dweight_NK.extent(0) != 0)
    matmul<In, float>(exec, dweight_NK, dy_MN, Transpose::kYes, a_MK, Transpose::kNo, write);
}

}  // namespace polyphase
