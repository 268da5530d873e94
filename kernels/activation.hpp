// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

namespace polyphase {

enum class Activation {
  kGelu,      // x · Φ(x), the exact form (Hendrycks and Gimpel, 2016)
  kGeluTanh,  // its tanh approximation, as in GPT-2
  kRelu,
  kTanh,
};

// y_NF = activation(x_NF).
template <class Real>
void activation_forward(const Exec& exec, Activation kind, Tensor2<Real> y_NF,
                        Tensor2<const Real> x_NF);

// dx_NF = dy_NF · activation'(x_NF) (may be the same memory as dy_NF); y_NF = activation(x_NF)
// again, for the weight gradient of the product behind it (may be empty); dbias_F = column sums of
// dx_NF (may be empty), as `write` says.
template <class Real>
void activation_backward(const Exec& exec, Activation kind, Tensor2<Real> dx_NF, Tensor2<Real> y_NF,
                         Tensor1<float> dbias_F, Write write, Tensor2<const Real> dy_NF,
                         Tensor2<const Real> x_NF);

}  // namespace polyphase
