// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/dropout.hpp"
#include "kernels/exec.hpp"

namespace polyphase {

// Which stream goes on as the next residual: the sum (pre-norm) or the norm's output (post-norm).
enum class NormPlace { kPre, kPost };

// One step of the residual chain, which every transformer block is made of:
//     sum_NC = residual_NC + dropout(update_NC + bias_C)
//     y_NC = layer_norm(sum_NC) · gain_C + shift_C
// (layer norm: Ba et al., 2016). Without an update (extent 0) it is a plain layer norm: sum_NC may
// then be residual_NC. y_NC feeds products. y_float_NC (may be empty, or the same memory as y_NC
// when Real is float) is the same in float32, for a post-norm residual. Keeps mean_N and rstd_N for
// the backward pass.
template <class Real>
void add_norm_forward(const Exec& exec, Tensor2<float> sum_NC, Tensor2<Real> y_NC,
                      Tensor2<float> y_float_NC, Tensor1<float> mean_N, Tensor1<float> rstd_N,
                      Tensor2<const float> residual_NC, Tensor2<const float> update_NC,
                      Tensor1<const float> bias_C, Tensor1<const float> gain_C,
                      Tensor1<const float> shift_C, float epsilon, const Dropout& dropout);

// Backward of add_norm_forward. dy_NC is the gradient that arrives through y_NC's products;
// dskip_NC (may be empty) the one along the residual stream, which joins the sum's gradient (kPre)
// or y's (kPost). Overwrites dsum_NC (the residual's gradient; may be the same memory as dskip_NC)
// and dupdate_NC (after dropout; may be empty). dgain_C, dshift_C and dbias_C (may be empty) are
// written or accumulated as `write` says.
template <class Real>
void add_norm_backward(const Exec& exec, Tensor2<float> dsum_NC, Tensor2<Real> dupdate_NC,
                       Tensor1<float> dgain_C, Tensor1<float> dshift_C, Tensor1<float> dbias_C,
                       Write write, Tensor2<const float> dy_NC, Tensor2<const float> dskip_NC,
                       NormPlace place, Tensor2<const float> sum_NC, Tensor1<const float> mean_N,
                       Tensor1<const float> rstd_N, Tensor1<const float> gain_C,
                       const Dropout& dropout);

// y_NC = layer_norm(sum_NC) from kept statistics: what the forward pass wrote, without keeping it.
template <class Real>
void norm_again(const Exec& exec, Tensor2<Real> y_NC, Tensor2<const float> sum_NC,
                Tensor1<const float> mean_N, Tensor1<const float> rstd_N,
                Tensor1<const float> gain_C, Tensor1<const float> shift_C);

}  // namespace polyphase
