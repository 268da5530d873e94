// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "kernels/exec.hpp"

namespace polyphase {

// y = factor_y · y + factor_x · x.
void combine(const Exec& exec, Tensor1<float> y, float factor_y, Tensor1<const float> x,
             float factor_x);

// The same of many tensors in one launch.
struct Combination {
  Tensor1<float> y;
  float factor_y = 1.0F;
  Tensor1<const float> x;
  float factor_x = 1.0F;
};
void combine(const Exec& exec, const std::vector<Combination>& all);

// x gets the elements of y, and y those of x.
void swap_elements(const Exec& exec, Tensor1<float> x, Tensor1<float> y);

// Brings every element of x into [-largest, largest]; NaN stays.
void clamp(const Exec& exec, Tensor1<float> x, float largest);

// dw += l1 · sign(w) + l2 · w: the gradient of l1 · Σ|w| + l2/2 · Σw², where that of |w| is 0 at 0.
void add_penalty_gradient(const Exec& exec, Tensor1<float> dw, Tensor1<const float> w, float l1,
                          float l2);

// Copies the rows × columns block at (from_row, from_column) of one matrix to (to_row, to_column)
// of another.
struct Block {
  std::int64_t num_rows = 0, num_columns = 0;
  std::int64_t to_row = 0, to_column = 0, from_row = 0, from_column = 0;
};
void copy_block(const Exec& exec, Tensor2<float> to, Tensor2<const float> from, const Block& block);

}  // namespace polyphase
