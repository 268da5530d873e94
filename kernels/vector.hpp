// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "kernels/bf16.hpp"

// Vectors of the host's registers and what its own kernels do with them, for loops in which the
// compiler's vectors cost too many instructions.
namespace polyphase::tile {

#ifdef __AVX512F__
inline constexpr int kLanes = 16;
inline constexpr __mmask16 kAllLanes = 0xFFFF;  // GCC 12 warns of intrinsics without a mask
#else
inline constexpr int kLanes = 8;
#endif

using Vector __attribute__((vector_size(4 * kLanes), aligned(4), may_alias)) = float;
using VectorBits __attribute__((vector_size(4 * kLanes), aligned(4), may_alias)) = std::uint32_t;
using HalfBits __attribute__((vector_size(2 * kLanes), aligned(2), may_alias)) = std::uint16_t;

inline Vector spread(float x) { return x - Vector{}; }

inline VectorBits widened(HalfBits x) {
#ifdef __AVX512F__  // GCC 12 makes two of it
  return reinterpret_cast<VectorBits>(
      _mm512_maskz_cvtepu16_epi32(kAllLanes, reinterpret_cast<__m256i>(x)));
#else
  return __builtin_convertvector(x, VectorBits);
#endif
}

inline Vector load(const float* x) { return *reinterpret_cast<const Vector*>(x); }
inline Vector load(const bf16* x) {
  return reinterpret_cast<Vector>(widened(*reinterpret_cast<const HalfBits*>(x)) << 16);
}

// Rounds to nearest, ties to even; a NaN stays a NaN. Below the smallest normal number the
// instruction gives 0, as the one that multiplies bf16 reads it.
inline HalfBits rounded(Vector x) {
#ifdef __AVX512BF16__
  return reinterpret_cast<HalfBits>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(x)));
#else
  const auto bits = reinterpret_cast<VectorBits>(x);
  const VectorBits nearest = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  return __builtin_convertvector(x == x ? nearest : (bits >> 16) | 0x40U, HalfBits);
#endif
}

inline void store(std::uint32_t* y, VectorBits x) { *reinterpret_cast<VectorBits*>(y) = x; }
inline void store(float* y, Vector x) { *reinterpret_cast<Vector*>(y) = x; }
inline void store(bf16* y, Vector x) { *reinterpret_cast<HalfBits*>(y) = rounded(x); }

// Words of even and odd, rounded to bf16: even in the lower halves.
inline VectorBits paired(Vector even, Vector odd) {
#ifdef __AVX512BF16__
  using Halves __attribute__((vector_size(64))) = std::uint16_t;
  const auto both = reinterpret_cast<Halves>(
      _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(odd), reinterpret_cast<__m512>(even)));
  return reinterpret_cast<VectorBits>(__builtin_shuffle(
      both, Halves{0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                   8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31}));
#else
  return widened(rounded(even)) | widened(rounded(odd)) << 16;
#endif
}

// Stores one row as floats, or a pair of rows as words of bf16.
inline void store_word(float* y, const Vector (&rows)[1]) { store(y, rows[0]); }
inline void store_word(std::uint32_t* y, const Vector (&rows)[2]) {
  store(y, paired(rows[0], rows[1]));
}

inline Vector larger(Vector a, Vector b) { return a > b ? a : b; }  // b where a is a NaN

inline Vector magnitude(Vector x) {
  return reinterpret_cast<Vector>(reinterpret_cast<VectorBits>(x) & 0x7FFFFFFFU);
}

// The lanes of x combined, halves of them at a time.
template <int kHalf, class Combine, std::size_t... lane>
Vector folded(Vector x, const Combine& combine, std::index_sequence<lane...> all) {
  const Vector y = combine(x, __builtin_shufflevector(x, x, (lane ^ kHalf)...));
  if constexpr (kHalf > 1) return folded<kHalf / 2>(y, combine, all);
  return y;
}
inline float sum_of(Vector x) {
  const auto add = [](Vector a, Vector b) { return a + b; };
  return folded<kLanes / 2>(x, add, std::make_index_sequence<kLanes>())[0];
}
inline float largest_of(Vector x) {
  return folded<kLanes / 2>(x, larger, std::make_index_sequence<kLanes>())[0];
}

inline constexpr float kLog2E = 1.44269504F;

// 2^x with a relative error of at most 2e-7, exact at 0; plus and minus infinity give infinity and
// 0, a NaN stays a NaN. The polynomial is fitted to 2^r on |r| <= 1/2 with its value at 0 held
// at 1.
inline Vector exp2(Vector x) {
  const auto power = [](Vector r) {
    Vector p = spread(1.326472731e-3F);
    p = p * r + 9.671512991e-3F;
    p = p * r + 5.550733581e-2F;
    p = p * r + 2.402224243e-1F;
    p = p * r + 6.931470037e-1F;
    return p * r + 1.0F;
  };
#ifdef __AVX512F__
  // Of minus infinity r is a NaN, which scaling by 2^-infinity makes 0.
  const auto n = _mm512_maskz_roundscale_ps(kAllLanes, reinterpret_cast<__m512>(x), 0);
  const Vector p = power(x - reinterpret_cast<Vector>(n));
  return reinterpret_cast<Vector>(
      _mm512_maskz_scalef_ps(kAllLanes, reinterpret_cast<__m512>(p), n));
#else
  // As fast_exp_inside (math.hpp); what is below the smallest normal number becomes 0.
  const Vector inside = x < -126.0F ? spread(-126.0F) : (x > 127.5F ? spread(127.5F) : x);
  const Vector shifted = inside + 12582912.0F;
  const Vector p = power(inside - (shifted - 12582912.0F));
  const Vector y = reinterpret_cast<Vector>(reinterpret_cast<VectorBits>(p) +
                                            (reinterpret_cast<VectorBits>(shifted) << 23));
  const Vector ended = x < -126.0F ? Vector{} : (x >= 128.0F ? spread(INFINITY) : y);
  return x == x ? ended : x;
#endif
}

// 1 / x for a normal x whose reciprocal is one, too; relative error at most 1.5e-7.
inline Vector reciprocal(Vector x) {
#ifdef __AVX512F__
  // 14 bits, and twice as many after Newton's step.
  const auto y =
      reinterpret_cast<Vector>(_mm512_maskz_rcp14_ps(kAllLanes, reinterpret_cast<__m512>(x)));
  return y + y * (1.0F - x * y);
#else
  return 1.0F / x;
#endif
}

// to[i] = from[i] * factor, rounded.
template <class Real>
void store_row(Real* to, const float* from, float factor, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, load(from + i) * factor);
  for (; i < count; ++i) to[i] = from_float<Real>(from[i] * factor);
}

template <class Real>
float dot(const Real* a, const Real* b, std::int64_t count) {
  Vector sum{};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) sum += load(a + i) * load(b + i);
  float rest = 0.0F;
  for (; i < count; ++i) rest += to_float(a[i]) * to_float(b[i]);
  return sum_of(sum) + rest;
}

}  // namespace polyphase::tile
