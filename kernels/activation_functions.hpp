// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/math.hpp"

// Activation functions of one element and their slopes, without branches, so that loops over them
// vectorise. A NaN stays a NaN. Absolute errors stay below 3e-7 plus one rounding of the result.
namespace polyphase {

struct ValueAndSlope {
  float value, slope;
};

struct Gelu {
  // Φ(x) through the error function's rational approximation (Abramowitz and Stegun, 7.1.26:
  // error 1.5e-7), which shares its exponential with the density, and so with the slope Φ(x) + x ·
  // φ(x).
  KOKKOS_INLINE_FUNCTION static ValueAndSlope both(float x) {
    constexpr float kRootHalf = 0.70710678F, kDensityAtZero = 0.39894228F;
    const float z = (x < 0.0F ? -x : x) * kRootHalf;
    // A NaN may become any number here, and is one again when multiplied by x.
    const float bell = fast_exp_inside(-z * z < -87.0F ? -87.0F : -z * z);
    const float t = 1.0F / (1.0F + 0.3275911F * z);
    const float series =
        ((((1.061405429F * t - 1.453152027F) * t + 1.421413741F) * t - 0.284496736F) * t +
         0.254829592F) *
        t;
    const float tail = 0.5F * series * bell;
    const float phi = x < 0.0F ? tail : 1.0F - tail;
    return {x * phi, phi + x * (kDensityAtZero * bell)};
  }
  KOKKOS_INLINE_FUNCTION static float value(float x) { return both(x).value; }
};

struct GeluTanh {
  // x / 2 · (1 + tanh(u)) is x / (1 + exp(-2u)), with u = sqrt(2/π) · (x + 0.044715 x³).
  KOKKOS_INLINE_FUNCTION static ValueAndSlope both(float x) {
    constexpr float kTwoRoots = 1.59576912F, kCubic = 0.044715F;
    const float twice_u = kTwoRoots * x * (1.0F + kCubic * x * x);
    const float twice_slope = kTwoRoots * (1.0F + 3.0F * kCubic * x * x);
    const float exponent = -twice_u < -80.0F ? -80.0F : (-twice_u > 80.0F ? 80.0F : -twice_u);
    const float share = 1.0F / (1.0F + fast_exp_inside(exponent));
    return {x * share, share + x * share * (1.0F - share) * twice_slope};
  }
  KOKKOS_INLINE_FUNCTION static float value(float x) { return both(x).value; }
};

struct Silu {
  // x · σ(x); beyond 80, σ(x) differs from 0 or 1 by less than any tolerance here.
  KOKKOS_INLINE_FUNCTION static ValueAndSlope both(float x) {
    const float exponent = -x < -80.0F ? -80.0F : (-x > 80.0F ? 80.0F : -x);
    const float share = 1.0F / (1.0F + fast_exp_inside(exponent));
    return {x * share, share + x * share * (1.0F - share)};
  }
  KOKKOS_INLINE_FUNCTION static float value(float x) { return both(x).value; }
};

struct Relu {
  // Written so that comparisons with a NaN let it through.
  KOKKOS_INLINE_FUNCTION static ValueAndSlope both(float x) {
    return {x <= 0.0F ? 0.0F : x, x <= 0.0F ? 0.0F : 1.0F};
  }
  KOKKOS_INLINE_FUNCTION static float value(float x) { return both(x).value; }
};

struct Tanh {
  KOKKOS_INLINE_FUNCTION static ValueAndSlope both(float x) {
    const float y = value(x);
    return {y, 1.0F - y * y};
  }
  KOKKOS_INLINE_FUNCTION static float value(float x) {
    return 1.0F - 2.0F / (fast_exp(2.0F * x) + 1.0F);
  }
};

}  // namespace polyphase
