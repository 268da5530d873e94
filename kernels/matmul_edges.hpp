// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/matmul.hpp"

// What every product library leaves to its caller: extents that must match, products over nothing,
// and a bias.
namespace polyphase {

struct ProductExtents {
  std::int64_t m = 0, n = 0, k = 0;
};

// The extents of y_MN = op(a) · op(b). Extents that do not match are a broken promise.
template <class In, class Out>
ProductExtents product_extents(const Tensor2<Out>& y_MN, const Tensor2<const In>& a, Transpose op_a,
                               const Tensor2<const In>& b, Transpose op_b,
                               const Tensor1<const float>& bias_N) {
  const auto extent = [](const Tensor2<const In>& x, Transpose op, int dimension) {
    return static_cast<std::int64_t>(x.extent(op == Transpose::kNo ? dimension : 1 - dimension));
  };
  const ProductExtents e{static_cast<std::int64_t>(y_MN.extent(0)),
                         static_cast<std::int64_t>(y_MN.extent(1)), extent(a, op_a, 1)};
  POLYPHASE_PROMISE(
      extent(a, op_a, 0) == e.m && extent(b, op_b, 0) == e.k && extent(b, op_b, 1) == e.n,
      "a product of {}x{} and {}x{} does not fit into {}x{}", extent(a, op_a, 0), e.k,
      extent(b, op_b, 0), extent(b, op_b, 1), e.m, e.n);
  POLYPHASE_PROMISE(bias_N.extent(0) == 0 || static_cast<std::int64_t>(bias_N.extent(0)) == e.n,
                    "a bias of {} values does not fit {} columns", bias_N.extent(0), e.n);
  return e;
}

// y_MN = bias_N, or 0 without a bias; or y_MN += bias_N when accumulating.
template <class Out>
void write_bias(const Exec& exec, const Tensor2<Out>& y_MN, Write write,
                const Tensor1<const float>& bias_N) {
  const auto n = static_cast<std::int64_t>(y_MN.extent(1));
  const auto size = static_cast<std::int64_t>(y_MN.size());
  const bool has_bias = bias_N.extent(0) != 0, adds = write == Write::kAccumulate;
  if (size == 0 || (adds && !has_bias)) return;
  Out* const y = y_MN.data();
  const float* const bias = bias_N.data();
  Kokkos::parallel_for(
      "write_bias",
      Kokkos::RangePolicy<Space, Kokkos::IndexType<std::int64_t>>(exec.space, 0, size),
      KOKKOS_LAMBDA(std::int64_t i) {
        y[i] = from_float<Out>((adds ? to_float(y[i]) : 0.0F) + (has_bias ? bias[i % n] : 0.0F));
      });
}

}  // namespace polyphase
