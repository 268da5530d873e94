// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>

// Elementary functions for device code that host compilers can vectorise, and one spelling of those
// whose namespace moved between Kokkos 3.4 and 4.
namespace polyphase {

#if KOKKOS_VERSION < 30700
namespace math = Kokkos::Experimental;
#else
namespace math = Kokkos;
#endif

// exp(x) in float32 for x in [-87.33, 88.72], relative error at most 2e-7; for other x, and for a
// NaN, any number. Without branches or library calls, so that loops over it vectorise. Reduction to
// |r| <= ln(2)/2 in two parts (Cody and Waite, 1980); the polynomial of degree 6 is fitted to exp
// on that interval with its first two coefficients held at 1.
KOKKOS_INLINE_FUNCTION float fast_exp_inside(float x) {
  // Adding 1.5 * 2^23 leaves the rounded integer in the lowest bits of the sum.
  constexpr float kRounder = 12582912.0F;
  const float shifted = x * 1.442695041F + kRounder;
  const float n = shifted - kRounder;
  const float r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
  float p = 1.3814320e-3F;
  p = p * r + 8.3688516e-3F;
  p = p * r + 4.1668400e-2F;
  p = p * r + 1.66665196e-1F;
  p = p * r + 4.9999994e-1F;
  p = (p * r) * r + r + 1.0F;
  std::uint32_t bits, exponent;
  memcpy(&bits, &p, sizeof bits);
  memcpy(&exponent, &shifted, sizeof exponent);
  bits += exponent << 23;
  float y;
  memcpy(&y, &bits, sizeof y);
  return y;
}

// The same for every x. Results below the smallest normal number become 0, results too large become
// infinity, a NaN stays a NaN.
KOKKOS_INLINE_FUNCTION float fast_exp(float x) {
  constexpr float kLowest = -87.33654F, kHighest = 88.72283F;
  const float inside = x < kLowest ? kLowest : (x > kHighest ? kHighest : x);
  float y = fast_exp_inside(inside);
  y = x < kLowest ? 0.0F : y;
  y = x > kHighest ? INFINITY : y;
  return x == x ? y : x;
}

// The same for x up to 88.72; what is below -87 gives exp(-87) or less, a NaN any number.
KOKKOS_INLINE_FUNCTION float fast_exp_below(float x) {
  return fast_exp_inside(x < -87.0F ? -87.0F : x);
}

KOKKOS_INLINE_FUNCTION float magnitude(float x) { return x < 0.0F ? -x : x; }

// 1 / x for a normal x whose reciprocal is one, too.
KOKKOS_INLINE_FUNCTION float fast_reciprocal(float x) { return 1.0F / x; }

}  // namespace polyphase
