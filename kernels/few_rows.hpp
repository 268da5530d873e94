// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

// Products of a few rows with a weight stored [out, in], on the host: what a generation multiplies
// for each new token. The time is that of reading the weight once, so every element of y is a sum
// along one of its rows, as it lies in memory. A product library packs the weight first.
namespace polyphase::tile {

// From so many rows on, arithmetic takes longer than reading, and the library is as fast.
inline constexpr std::int64_t kMostFewRows = 16;

// y_MN = a_MK · b_NKᵀ [+ bias_N] [+ y_MN when accumulating]. An element's bits depend on nothing
// but its own row of a, row of b, and bias: not on the number of rows or threads.
template <class In, class Out>
void multiply_few_rows(const Exec& exec, Tensor2<Out> y_MN, Tensor2<const In> a_MK,
                       Tensor2<const In> b_NK, Write write, Tensor1<const float> bias_N,
                       int num_threads);

}  // namespace polyphase::tile
