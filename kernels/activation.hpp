// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

namespace polyphase {

enum class Activation {
  kGelu,      // x · Φ(x), the exact form (Hendrycks and Gimpel, 2016)
  kGeluTanh,  // its tanh approximation, as in GPT-2
  kRelu,
  kTanh,
  kSilu,  // x · σ(x) (Elfwing et al., 2018), also called swish
};

// y_NF = activation(x_NF).
template <class Real>
void activation_forward(const Exec& exec, Activation kind, Tensor2<Real> y_NF,
                        Tensor2<const Real> x_NF);

// dx_NF = dy_NF · activation'(x_NF) (may be the same memory as dy_NF); y_NF = activation(x_NF)
// again, for the weight gradient of the product behind it (may be empty, or the same memory as
// x_NF); dbias_F = column sums of dx_NF (may be empty), as `write` says.
template <class Real>
void activation_backward(const Exec& exec, Activation kind, Tensor2<Real> dx_NF, Tensor2<Real> y_NF,
                         Tensor1<float> dbias_F, Write write, Tensor2<const Real> dy_NF,
                         Tensor2<const Real> x_NF);

// The gated feed-forward layer's middle (Shazeer, 2020): columns [0, F) of x_N2F are the linear
// part, columns [F, 2F) the gate: y_NF = linear · activation(gate). With kSilu it is SwiGLU, with a
// GELU GEGLU, with kRelu ReGLU.
template <class Real>
void gated_activation_forward(const Exec& exec, Activation kind, Tensor2<Real> y_NF,
                              Tensor2<const Real> x_N2F);

// Overwrites dx_N2F (may be the same memory as x_N2F) with the gradients of both parts; y_NF = the
// forward result again (may be empty); dbias_2F = column sums of dx_N2F (may be empty), as `write`
// says.
template <class Real>
void gated_activation_backward(const Exec& exec, Activation kind, Tensor2<Real> dx_N2F,
                               Tensor2<Real> y_NF, Tensor1<float> dbias_2F, Write write,
                               Tensor2<const Real> dy_NF, Tensor2<const Real> x_N2F);

}  // namespace polyphase
