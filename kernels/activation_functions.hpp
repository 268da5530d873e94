// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/columns.hpp"

// Activation functions and their slopes of a float or a vector of floats F, without branches. A NaN
// stays a NaN. Absolute errors stay below 3e-7 plus one rounding of the result.
namespace polyphase {

template <class F>
struct ValueAndSlope {
  F value, slope;
};

struct Gelu {
  // Φ(x) through the error function's rational approximation (Abramowitz and Stegun, 7.1.26:
  // error 1.5e-7), which shares its exponential with the density, and so with the slope Φ(x) + x ·
  // φ(x).
  template <class F>
  KOKKOS_FORCEINLINE_FUNCTION static ValueAndSlope<F> both(F x) {
    constexpr float kDensityAtZero = 0.39894228F;
    const F bell = fast_exp_below(-0.5F * (x * x));
    const F t = fast_reciprocal(1.0F + 0.231641888F * magnitude(x));
    const F tail =
        ((((0.5307027145F * t - 0.7265760135F) * t + 0.7107068705F) * t - 0.142248368F) * t +
         0.127414796F) *
        t * bell;
    const F phi = x < 0.0F ? tail : 1.0F - tail;
    return {x * phi, phi + x * (kDensityAtZero * bell)};
  }
};

// 1 / (1 + exp(-x)); beyond 80 it differs from 0 or 1 by less than any tolerance here.
template <class F>
KOKKOS_FORCEINLINE_FUNCTION F logistic(F x) {
  return fast_reciprocal(1.0F + fast_exp_below(-x > 80.0F ? F{} + 80.0F : -x));
}

struct GeluTanh {
  // x / 2 · (1 + tanh(u)) is x / (1 + exp(-2u)), with u = sqrt(2/π) · (x + 0.044715 x³).
  template <class F>
  KOKKOS_FORCEINLINE_FUNCTION static ValueAndSlope<F> both(F x) {
    constexpr float kTwoRoots = 1.59576912F, kCubic = 0.044715F;
    const F twice_slope = kTwoRoots * (1.0F + 3.0F * kCubic * x * x);
    const F share = logistic(kTwoRoots * x * (1.0F + kCubic * x * x));
    return {x * share, share + x * share * (1.0F - share) * twice_slope};
  }
};

struct Silu {
  template <class F>
  KOKKOS_FORCEINLINE_FUNCTION static ValueAndSlope<F> both(F x) {
    const F share = logistic(x);
    return {x * share, share + x * share * (1.0F - share)};
  }
};

struct Relu {
  // Written so that comparisons with a NaN let it through.
  template <class F>
  KOKKOS_FORCEINLINE_FUNCTION static ValueAndSlope<F> both(F x) {
    return {x <= 0.0F ? F{} : x, x <= 0.0F ? F{} : F{} + 1.0F};
  }
};

struct Tanh {
  template <class F>
  KOKKOS_FORCEINLINE_FUNCTION static ValueAndSlope<F> both(F x) {
    const F y = 1.0F - 2.0F / (fast_exp(2.0F * x) + 1.0F);
    return {y, 1.0F - y * y};
  }
};

}  // namespace polyphase
