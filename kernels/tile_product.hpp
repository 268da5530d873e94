// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/vector.hpp"

// Products of operands small enough for the processor's caches, on the host: what attention
// multiplies for one sequence and head. A product library spends longer on choosing code for such a
// product than on the product.
//
// Operands are seen as 32-bit words that run along the summed dimension K: one float, or a pair of
// bf16. Then both precisions share one loop, and a pair is what the bf16 dot-product instruction
// takes.
namespace polyphase::tile {

// Column counts of a product are multiples of this.
inline constexpr std::int64_t kColumnMultiple = 16;

template <class Real>
struct Words {
  using Word = float;
  static constexpr std::int64_t kElements = 1;
  static void multiply_add(Vector& sum, Word a, Vector b) { sum += a * b; }
  static void multiply_add(Vector& sum, Vector a, Vector b) { sum += a * b; }
};

template <>
struct Words<bf16> {
  using Word = std::uint32_t;
  static constexpr std::int64_t kElements = 2;
  static void multiply_add(Vector& sum, Word a, Vector b) {
    multiply_add(sum, reinterpret_cast<Vector>(VectorBits{} + a), b);
  }
  static void multiply_add(Vector& sum, Vector a, Vector b) {
#ifdef __AVX512BF16__
    // GCC 12 copies registers and spills them around the intrinsic of the same name.
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
#else
    const auto low = [](Vector bits) {
      return reinterpret_cast<Vector>(reinterpret_cast<VectorBits>(bits) << 16);
    };
    const auto high = [](Vector bits) {
      return reinterpret_cast<Vector>(reinterpret_cast<VectorBits>(bits) & 0xFFFF0000U);
    };
    sum += low(a) * low(b);
    sum += high(a) * high(b);
#endif
  }
};

template <class Real>
using Word = typename Words<Real>::Word;

// The left operand: element (row, k) is at data[row * row_stride + k * k_stride], in words.
template <class Real>
struct Left {
  const Word<Real>* data;
  std::int64_t row_stride, k_stride;
};

// A block of kRows rows and kVectors vectors of columns, which stays in registers while k runs.
template <class Real, int kRows, int kVectors, bool kAccumulate>
inline void tile(float* y, std::int64_t y_stride, Left<Real> a, const Word<Real>* b,
                 std::int64_t b_stride, std::int64_t num_words) {
  Vector sum[kRows][kVectors] = {};
#pragma GCC unroll 8
  for (int r = 0; r < kRows && kAccumulate; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sum[r][v] = load(y + r * y_stride + v * kLanes);
  }
  for (std::int64_t k = 0; k < num_words; ++k) {
    Vector right[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      right[v] = *reinterpret_cast<const Vector*>(b + k * b_stride + v * kLanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      // Left operands are often written as bf16: a copy of bytes may read them as words.
      Word<Real> left;
      std::memcpy(&left, a.data + r * a.row_stride + k * a.k_stride, sizeof left);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) Words<Real>::multiply_add(sum[r][v], left, right[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store(y + r * y_stride + v * kLanes, sum[r][v]);
  }
}

// Vectors of columns in a block, and rows beside so many. Measured as the best of 4×4 to 12×2 on
// AVX-512, and of 3×4 to 6×2 on AVX2, where 4×2 has too few sums under way to hide the
// multiplication's latency.
inline constexpr int kMaxVectors = kLanes == 16 ? 4 : 2;
template <int kVectors>
inline constexpr int kMaxRows = kLanes == 16 && kVectors <= 2 ? 8 : 6;

template <class Real, int kVectors>
void tile_column(float* y, std::int64_t y_stride, Left<Real> a, const Word<Real>* b,
                 std::int64_t b_stride, std::int64_t num_rows, std::int64_t num_words,
                 bool accumulate) {
  constexpr int kMost = kMaxRows<kVectors>;
  const auto run = [&]<int kRows>(std::int64_t first) {
    const auto multiply =
        accumulate ? tile<Real, kRows, kVectors, true> : tile<Real, kRows, kVectors, false>;
    multiply(y + first * y_stride, y_stride,
             {a.data + first * a.row_stride, a.row_stride, a.k_stride}, b, b_stride, num_words);
  };
  std::int64_t row = 0;
  for (; row + kMost <= num_rows; row += kMost) run.template operator()<kMost>(row);
  for (; row + 4 <= num_rows; row += 4) run.template operator()<4>(row);
  for (; row + 2 <= num_rows; row += 2) run.template operator()<2>(row);
  if (row < num_rows) run.template operator()<1>(row);
}

// y = a · b, or y += a · b, in float32: num_rows × num_columns, summed over num_words words. Word
// (k, column) of b is at b[k * b_stride + column]. num_columns is a multiple of kColumnMultiple.
// Each element is one running sum over k, so its bits depend on nothing but its own row of a and
// column of b.
template <class Real>
void product(float* y, std::int64_t y_stride, Left<Real> a, const Word<Real>* b,
             std::int64_t b_stride, std::int64_t num_rows, std::int64_t num_columns,
             std::int64_t num_words, bool accumulate = false) {
  std::int64_t column = 0;
  const auto run = [&]<int kVectors>() {
    for (; column + kVectors * kLanes <= num_columns; column += kVectors * kLanes) {
      tile_column<Real, kVectors>(y + column, y_stride, a, b + column, b_stride, num_rows,
                                  num_words, accumulate);
    }
  };
  run.template operator()<kMaxVectors>();
  run.template operator()<2>();
  run.template operator()<1>();
}

}  // namespace polyphase::tile
