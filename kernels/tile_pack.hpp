// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <utility>

#include "kernels/tile_product.hpp"

// Brings operands of tile::product into its layouts. Rows are padded with zeros to kColumnMultiple
// in both directions, so that products need no special cases at the edges.
namespace polyphase::tile {

inline std::int64_t padded(std::int64_t extent, std::int64_t multiple = kColumnMultiple) {
  return (extent + multiple - 1) / multiple * multiple;
}

// Asks for a row that is read kRowsAhead rows later. Rows of a head lie so far apart that the
// processor does not foresee the next one; behind the last row nothing is read.
inline constexpr std::int64_t kRowsAhead = 8;
template <class Real>
void prefetch_row(const Real* row, std::int64_t num_columns) {
  constexpr std::int64_t kLineElements = 64 / sizeof(Real);
  for (std::int64_t c = 0; c < num_columns; c += kLineElements) __builtin_prefetch(row + c);
}

// y[r * y_stride + c] = x[r * x_stride + c], zero behind num_columns up to y_stride and behind
// num_rows up to padded(num_rows).
template <class Real>
void pack_rows(Real* y, std::int64_t y_stride, const Real* x, std::int64_t x_stride,
               std::int64_t num_rows, std::int64_t num_columns) {
  for (std::int64_t r = 0; r < num_rows; ++r) {
    Real* const row = std::copy_n(x + r * x_stride, num_columns, y + r * y_stride);
    std::fill(row, y + (r + 1) * y_stride, Real{});
  }
  std::fill(y + num_rows * y_stride, y + padded(num_rows) * y_stride, Real{});
}

// Exchanges the off-diagonal quarters of every 2·half × 2·half square: one stage of a transposition
// in registers.
template <int kHalf, std::size_t... column>
void exchange_quarters(VectorBits (&rows)[kLanes], std::index_sequence<column...>) {
  for (int r = 0; r < kLanes; ++r) {
    if ((r & kHalf) != 0) continue;
    const VectorBits upper = rows[r], lower = rows[r + kHalf];
    rows[r] = __builtin_shufflevector(upper, lower,
                                      (column & kHalf ? kLanes + column - kHalf : column)...);
    rows[r + kHalf] = __builtin_shufflevector(
        upper, lower, (column & kHalf ? kLanes + column : column + kHalf)...);
  }
}

// y[c * y_stride + r] = x[r * x_stride + c]: words transposed; both extents are multiples of
// kLanes.
inline void transpose_words(void* y, std::int64_t y_stride, const void* x, std::int64_t x_stride,
                            std::int64_t num_rows, std::int64_t num_columns) {
  constexpr auto kColumns = std::make_index_sequence<kLanes>();
  for (std::int64_t r = 0; r < num_rows; r += kLanes) {
    for (std::int64_t c = 0; c < num_columns; c += kLanes) {
      VectorBits rows[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        std::memcpy(&rows[i], static_cast<const float*>(x) + (r + i) * x_stride + c,
                    sizeof rows[i]);
      }
      exchange_quarters<1>(rows, kColumns);
      exchange_quarters<2>(rows, kColumns);
      exchange_quarters<4>(rows, kColumns);
      if constexpr (kLanes == 16) exchange_quarters<8>(rows, kColumns);
      for (int i = 0; i < kLanes; ++i) {
        std::memcpy(static_cast<float*>(y) + (c + i) * y_stride + r, &rows[i], sizeof rows[i]);
      }
    }
  }
}

// y[r/2][c] = x[r][c] and x[r+1][c] as one word, rounded to bf16: pairs along the summed dimension,
// when that is the rows. num_rows is even, num_columns a multiple of kLanes. From is bf16 or float;
// rows of x lie x_stride apart, rows of y y_stride.
template <class From>
void pair_rows(std::uint32_t* y, std::int64_t y_stride, const From* x, std::int64_t x_stride,
               std::int64_t num_rows, std::int64_t num_columns) {
  for (std::int64_t r = 0; r < num_rows; r += 2) {
    const From* const even = x + r * x_stride;
    const From* const odd = even + x_stride;
    std::uint32_t* const pair = y + r / 2 * y_stride;
    for (std::int64_t c = 0; c < num_columns; c += kLanes)
      store(pair + c, paired(load(even + c), load(odd + c)));
  }
}

}  // namespace polyphase::tile
