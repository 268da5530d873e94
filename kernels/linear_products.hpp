// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/activation.hpp"
#include "kernels/matmul.hpp"

namespace polyphase {

// x_MN = a_MK · weight_NKᵀ + bias_N (as in matmul.hpp), and y_MN = activation(x_MN): one product
// where the library has it, else one after the other. Without y_MN (no elements) x_MN alone is
// wanted, with the very bits that it has beside y_MN.
template <class Real>
void matmul_activated(const Exec& exec, Activation kind, Tensor2<Real> y_MN, Tensor2<Real> x_MN,
                      Tensor2<const Real> a_MK, Tensor2<const Real> weight_NK,
                      Tensor1<const float> bias_N);

// One after the other.
template <class Real>
void matmul_and_activate(const Exec& exec, Activation kind, const Tensor2<Real>& y_MN,
                         const Tensor2<Real>& x_MN, const Tensor2<const Real>& a_MK,
                         const Tensor2<const Real>& weight_NK, const Tensor1<const float>& bias_N) {
  matmul<Real, Real>(exec, x_MN, a_MK, Transpose::kNo, weight_NK, Transpose::kYes,
                     Write::kOverwrite, bias_N);
  if (y_MN.extent(0) != 0) activation_forward<Real>(exec, kind, y_MN, x_MN);
}

}  // namespace polyphase
