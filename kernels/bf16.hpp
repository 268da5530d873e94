// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>
#include <cstring>

namespace polyphase {

// The upper half of a float32: 8 bits of exponent, 7 of fraction. Own type, since Kokkos 3.4 has
// none.
struct bf16 {
  std::uint16_t bits;
};
static_assert(sizeof(bf16) == 2);

KOKKOS_INLINE_FUNCTION float to_float(float x) { return x; }

KOKKOS_INLINE_FUNCTION float to_float(bf16 x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16;
  float y;
  memcpy(&y, &bits, sizeof y);
  return y;
}

// Rounds to nearest, ties to even; a NaN stays a NaN. Without branches, so that loops over it
// vectorise.
template <class Real>
KOKKOS_INLINE_FUNCTION Real from_float(float x) {
  if constexpr (sizeof(Real) == sizeof(float)) {
    return x;
  } else {
    std::uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
    const bool is_nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
    const std::uint32_t quiet_nan = (bits >> 16) | 0x40U;
    return Real{static_cast<std::uint16_t>(is_nan ? quiet_nan : rounded)};
  }
}

}  // namespace polyphase
