// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "kernels/math.hpp"
#include "kernels/tensor.hpp"

// What the body of Row::each_columns() sees of a row: one column on a device, neighbouring ones at
// once in a vector register on the host. It is written once, with load() and store() and the
// operators that floats and vectors of them have in common.
#if defined(KOKKOS_ENABLE_CUDA) || defined(KOKKOS_ENABLE_HIP) || defined(KOKKOS_ENABLE_SYCL)

namespace polyphase {

struct Column {
  std::int64_t begin;

  template <class T>
  KOKKOS_INLINE_FUNCTION float load(const T* x) const {
    return to_float(x[begin]);
  }
  template <class T>
  KOKKOS_INLINE_FUNCTION void store(T* y, float value) const {
    y[begin] = from_float<T>(value);
  }
};

}  // namespace polyphase

#else

#include "kernels/vector.hpp"

namespace polyphase {

struct Columns {
  std::int64_t begin;

  template <class T>
  tile::Vector load(const T* x) const {
    return tile::load(x + begin);
  }
  template <class T>
  void store(T* y, tile::Vector value) const {
    tile::store(y + begin, value);
  }
};

// Fewer than fill a vector, with the bits that they have in a full one.
struct LastColumns {
  std::int64_t begin, count;

  template <class T>
  tile::Vector load(const T* x) const {
    T lanes[tile::kLanes] = {};
    std::copy_n(x + begin, count, lanes);
    return tile::load(lanes);
  }
  template <class T>
  void store(T* y, tile::Vector value) const {
    T lanes[tile::kLanes];
    tile::store(lanes, value);
    std::copy_n(lanes, count, y + begin);
  }
};

// As math.hpp has them of a float.
inline tile::Vector fast_exp(tile::Vector x) { return tile::exp2(x * tile::kLog2E); }
inline tile::Vector fast_exp_below(tile::Vector x) { return fast_exp(x); }
inline tile::Vector magnitude(tile::Vector x) { return tile::magnitude(x); }
inline tile::Vector fast_reciprocal(tile::Vector x) { return tile::reciprocal(x); }

}  // namespace polyphase

#endif
