// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

namespace polyphase {

// Each row with another: y_MC[b] = share_B[b] · x_BC[b] + (1 - share_B[b]) · x_BC[(b + shift) mod
// B], twice, as M = 2·B rows: the second half is the first again. 0 ≤ shift < B.
template <class Real>
void mix_rows_forward(const Exec& exec, Tensor2<Real> y_MC, Tensor2<const Real> x_BC,
                      Tensor1<const float> share_B, std::int64_t shift);

// Overwrites dx_BC, given the gradients of both halves.
void mix_rows_backward(const Exec& exec, Tensor2<float> dx_BC, Tensor2<const float> dy_MC,
                       Tensor1<const float> share_B, std::int64_t shift);

}  // namespace polyphase
