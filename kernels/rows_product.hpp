// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"
#include "kernels/tile_product.hpp"

namespace polyphase::tile {

inline constexpr int kPanelVectors = 2;  // of the columns that are multiplied at a time

// Whether multiply_rows() takes a b of so many columns: whole tiles.
inline bool takes_columns(std::int64_t num_columns) {
  return num_columns % (kPanelVectors * kLanes) == 0;
}

// y_MN = aᵀ · b [+ y_MN when accumulating]: a large product over the rows of both operands, on the
// host, as a weight's gradient is one. Each element is one running sum over the rows, so its bits
// depend neither on the other extents nor on the number of threads. Takes its workspace from
// exec.arena; with one thread it may be called inside a parallel region.
void multiply_rows(const Exec& exec, Tensor2<float> y_MN, Tensor2<const float> a_KM,
                   Tensor2<const float> b_KN, Write write, int num_threads);

}  // namespace polyphase::tile
