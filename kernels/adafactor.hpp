// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

namespace polyphase {

// Adafactor's second moments of a matrix as one number a row and one a column (Shazeer and Stern,
// 2018, algorithm 4). Sums have a fixed order, whatever the number of threads.

// sums_R[r] = Σ over columns of (scale · gradient_RC)²; sums_C likewise over rows.
void row_square_sums(const Exec& exec, Tensor1<float> sums_R, Tensor2<const float> gradient_RC,
                     float scale);
void column_square_sums(const Exec& exec, Tensor1<float> sums_C, Tensor2<const float> gradient_RC,
                        float scale);

// average += share · (factor · sums + 1e-30 - average).
void average_squares(const Exec& exec, Tensor1<float> average, Tensor1<const float> sums,
                     float factor, float share);

// direction_RC = scale · gradient_RC / sqrt(row_R · column_C / mean_row).
void factored_direction(const Exec& exec, Tensor2<float> direction_RC,
                        Tensor2<const float> gradient_RC, float scale, Tensor1<const float> row_R,
                        Tensor1<const float> column_C, float mean_row);

// square += share · ((scale · gradient)² + 1e-30 - square); direction = scale · gradient /
// sqrt(square): the unfactored form, of vectors.
void square_direction(const Exec& exec, Tensor1<float> direction, Tensor1<float> square,
                      Tensor1<const float> gradient, float scale, float share);

}  // namespace polyphase
