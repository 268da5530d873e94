// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

namespace polyphase {

// What tells two texts of a pair apart, from one state of each: a row (u, v) of x_B2C, of C columns
// each, becomes (u, v, |u - v|, u · v) in y_B4C (Conneau et al., 2017, section 3; Mou et al.,
// 2016).
template <class Real>
void pair_features_forward(const Exec& exec, Tensor2<Real> y_B4C, Tensor2<const Real> x_B2C);

// Overwrites dx_B2C. Where u = v, |u - v| has the gradient 0.
template <class Real>
void pair_features_backward(const Exec& exec, Tensor2<float> dx_B2C, Tensor2<const float> dy_B4C,
                            Tensor2<const Real> x_B2C);

}  // namespace polyphase
