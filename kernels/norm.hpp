// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/dropout.hpp"
#include "kernels/exec.hpp"

namespace polyphase {

// Which stream goes on as the next residual: the sum (pre-norm) or the norm's output (post-norm).
enum class NormPlace { kPre, kPost };

enum class NormKind {
  kLayer,  // (x - mean) / sqrt(variance + epsilon) (Ba et al., 2016)
  kRms,    // x / sqrt(mean square + epsilon) (Zhang and Sennrich, 2019)
  kNone,   // x: only the chain's step, where it is cut; without gain, shift and statistics
};

struct Norm {
  NormKind kind = NormKind::kLayer;
  float epsilon = 1e-5F;
};

// One step of the residual chain, which every transformer block is made of:
//     sum_NC = residual_NC + dropout(update_NC + bias_C)
//     y_NC = normalised(sum_NC) · gain_C + shift_C
// Without an update (extent 0) it is a plain norm: sum_NC may then be residual_NC. shift_C may be
// empty: none is added. y_NC feeds products. y_float_NC (may be empty, or the same memory as y_NC
// when Real is float, or as residual_NC where there is an update) is the same in float32, for a
// post-norm residual. Keeps rstd_N and, of layer norms, mean_N for the backward pass; mean_N may be
// empty for kRms.
template <class Real>
void add_norm_forward(const Exec& exec, Tensor2<float> sum_NC, Tensor2<Real> y_NC,
                      Tensor2<float> y_float_NC, Tensor1<float> mean_N, Tensor1<float> rstd_N,
                      Tensor2<const float> residual_NC, Tensor2<const float> update_NC,
                      Tensor1<const float> bias_C, Tensor1<const float> gain_C,
                      Tensor1<const float> shift_C, const Norm& norm, const Dropout& dropout);

// Backward of add_norm_forward. dy_NC is the gradient that arrives through y_NC's products;
// dskip_NC (may be empty) the one along the residual stream, which joins the sum's gradient (kPre)
// or y's (kPost). Overwrites dsum_NC (the residual's gradient; may be the same memory as dskip_NC
// or sum_NC) and dupdate_NC (after dropout; may be empty). dgain_C, dshift_C (may be empty) and
// dbias_C (may be empty) are written or accumulated as `write` says.
template <class Real>
void add_norm_backward(const Exec& exec, Tensor2<float> dsum_NC, Tensor2<Real> dupdate_NC,
                       Tensor1<float> dgain_C, Tensor1<float> dshift_C, Tensor1<float> dbias_C,
                       Write write, Tensor2<const float> dy_NC, Tensor2<const float> dskip_NC,
                       NormPlace place, Tensor2<const float> sum_NC, Tensor1<const float> mean_N,
                       Tensor1<const float> rstd_N, Tensor1<const float> gain_C, NormKind kind,
                       const Dropout& dropout);

// y_NC = normalised(sum_NC) · gain_C + shift_C from kept statistics: what the forward pass wrote,
// without keeping it.
template <class Real>
void norm_again(const Exec& exec, Tensor2<Real> y_NC, Tensor2<const float> sum_NC,
                Tensor1<const float> mean_N, Tensor1<const float> rstd_N,
                Tensor1<const float> gain_C, Tensor1<const float> shift_C, NormKind kind);

}  // namespace polyphase
