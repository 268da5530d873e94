// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/philox.hpp"
#include "kernels/exec.hpp"

namespace polyphase {

// Keyed dropout: whether an element is dropped is a function of (key, row id, column), never of layout, rank or order.
// The key stands for (seed, purpose, phase, step, layer); the row id for (global sample, position in it).
// Kept elements are scaled by 1 / (1 - rate). A rate of 0 does nothing.
struct Dropout {
  std::uint64_t key = 0;
  float rate = 0.0F;
  Tensor1<const std::uint64_t> row_ids_N;
};

// x_NC ← mask(x_NC). The backward pass is the same call on the gradient.
template <class Real>
void dropout_apply(const Exec& exec, Tensor2<Real> x_NC, const Dropout& dropout);

}  // namespace polyphase
