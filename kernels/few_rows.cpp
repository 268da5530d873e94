// SPDX-License-Identifier: Apache-2.0
#include "kernels/few_rows.hpp"

#include <Kokkos_Core.hpp>
#include <algorithm>
#include <cstring>

#include "kernels/tile_product.hpp"

namespace polyphase::tile {
namespace {

// Sums that run at a time: enough of them to hide the latency of a multiplication.
constexpr std::int64_t kTileM = 4, kTileN = 4;
// What is fetched ahead goes to the second cache, unless it is little and soon read.
constexpr std::int64_t kNearBytes = 16 << 10;
// A thread's share of a weight below which it is not worth waking.
constexpr std::int64_t kLeastBytes = 32 << 10;

template <class In>
constexpr std::int64_t kElements = kLanes* Words<In>::kElements;  // of a vector

// `count` elements, and zeros behind them.
template <class In>
Vector load_words(const In* x, std::int64_t count = kElements<In>) {
  Vector vector{};
  std::memcpy(&vector, x, static_cast<std::size_t>(count) * sizeof(In));
  return vector;
}

// Asks for a vector of each of so many columns behind x. Rows of b that are read side by side are
// too short for the processor to foresee how they go on, which costs half the memory's rate; their
// successors, asked for in the order in which they lie, come at the full rate.
template <int kColumns, class In>
void fetch_ahead(const In* x, bool is_near) {
  for (int c = 0; c < kColumns; ++c) {
    const void* const line = reinterpret_cast<const std::byte*>(x) + c * sizeof(Vector);
    if (is_near) {
      __builtin_prefetch(line, 0, 3);
    } else {
      __builtin_prefetch(line, 0, 2);
    }
  }
}

template <class In, class Out>
struct FewRows {
  std::int64_t m, n, k;
  const In *a_MK, *b_NK;
  const float* bias_N;  // may be null
  Out* y_MN;
  bool accumulate;

  void write(std::int64_t row, std::int64_t column, float sum) const {
    Out& y = y_MN[row * n + column];
    if (bias_N != nullptr) sum += bias_N[column];
    y = from_float<Out>(accumulate ? to_float(y) + sum : sum);
  }

  template <int kRows, int kColumns>
  void multiply_tile(std::int64_t row, std::int64_t column) const {
    const In *const a = a_MK + row * k, *const b = b_NK + column * k;
    Vector sum[kRows][kColumns] = {};
    const bool is_first = row == 0, is_near = m <= 2 && kColumns * k * sizeof(In) <= kNearBytes;
    const auto add = [&](std::int64_t i, auto... count) {
      if (is_first) fetch_ahead<kColumns>(b + kColumns * (k + i), is_near);
      Vector left[kRows];
      for (int r = 0; r < kRows; ++r) left[r] = load_words(a + r * k + i, count...);
      for (int c = 0; c < kColumns; ++c) {
        const Vector right = load_words(b + c * k + i, count...);
        for (int r = 0; r < kRows; ++r) Words<In>::multiply_add(sum[r][c], left[r], right);
      }
    };
    const std::int64_t whole = k / kElements<In> * kElements<In>;
    for (std::int64_t i = 0; i < whole; i += kElements<In>) add(i);
    if (whole < k) add(whole, k - whole);
    float total[kRows][kColumns];
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kColumns; ++c) total[r][c] = sum_of(sum[r][c]);
    }
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kColumns; ++c) write(row + r, column + c, total[r][c]);
    }
  }

  template <int kColumns>
  void multiply_columns(std::int64_t column) const {
    std::int64_t row = 0;
    for (; row + kTileM <= m; row += kTileM) multiply_tile<kTileM, kColumns>(row, column);
    for (; row + 2 <= m; row += 2) multiply_tile<2, kColumns>(row, column);
    if (row < m) multiply_tile<1, kColumns>(row, column);
  }

  void multiply(std::int64_t begin, std::int64_t end) const {
    std::int64_t column = begin;
    for (; column + kTileN <= end; column += kTileN) multiply_columns<kTileN>(column);
    for (; column < end; ++column) multiply_columns<1>(column);
  }
};

}  // namespace

template <class In, class Out>
void multiply_few_rows(const Exec& exec, Tensor2<Out> y_MN, Tensor2<const In> a_MK,
                       Tensor2<const In> b_NK, Write write, Tensor1<const float> bias_N,
                       int num_threads) {
  if (exec.counting()) return;
  const FewRows<In, Out> product{.m = static_cast<std::int64_t>(y_MN.extent(0)),
                                 .n = static_cast<std::int64_t>(y_MN.extent(1)),
                                 .k = static_cast<std::int64_t>(a_MK.extent(1)),
                                 .a_MK = a_MK.data(),
                                 .b_NK = b_NK.data(),
                                 .bias_N = bias_N.extent(0) != 0 ? bias_N.data() : nullptr,
                                 .y_MN = y_MN.data(),
                                 .accumulate = write == Write::kAccumulate};
  const auto num_bytes = static_cast<std::int64_t>(b_NK.size() * sizeof(In));
  const std::int64_t parts = std::clamp<std::int64_t>(num_bytes / kLeastBytes, 1, num_threads);
  if (parts == 1) return product.multiply(0, product.n);
  const std::int64_t tiles = product.n / kTileN;
  Kokkos::parallel_for(
      "multiply_few_rows",
      Kokkos::RangePolicy<Space, Kokkos::IndexType<std::int64_t>>(exec.space, 0, parts),
      [&](std::int64_t part) {
        const std::int64_t end =
            part + 1 == parts ? product.n : tiles * (part + 1) / parts * kTileN;
        product.multiply(tiles * part / parts * kTileN, end);
      });
}

#define POLYPHASE_FEW_ROWS(In, Out)                                                      \
  template void multiply_few_rows<In, Out>(const Exec&, Tensor2<Out>, Tensor2<const In>, \
                                           Tensor2<const In>, Write, Tensor1<const float>, int);
POLYPHASE_FEW_ROWS(float, float)
POLYPHASE_FEW_ROWS(float, bf16)
POLYPHASE_FEW_ROWS(bf16, float)
POLYPHASE_FEW_ROWS(bf16, bf16)
#undef POLYPHASE_FEW_ROWS

}  // namespace polyphase::tile
