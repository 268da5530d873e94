// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/matmul_float.hpp"

// A "packed" weight that is a plain tensor: what a library without a better layout gets.
namespace polyphase {

template <class Real>
PackedWeight plain_weight(const Exec& exec, Tensor2<const float> w, Transpose op) {
  const bool transposed = op == Transpose::kYes;
  const auto num_rows = static_cast<std::int64_t>(w.extent(0));
  const auto num_columns = static_cast<std::int64_t>(w.extent(1));
  PackedWeight packed{.k = transposed ? num_columns : num_rows,
                      .n = transposed ? num_rows : num_columns,
                      .stored = op};
  const void* data = w.data();
  if constexpr (sizeof(Real) != sizeof(float)) {
    const auto rounded = exec.arena->take2<Real>(num_rows, num_columns);
    if (!exec.counting()) convert_product_operand(exec, rounded, w);
    data = rounded.data();
  }
  packed.memory = Tensor1<const std::byte>(static_cast<const std::byte*>(data),
                                           num_rows * num_columns * sizeof(Real));
  return packed;
}

// The tensor that plain_weight made.
template <class Real>
Tensor2<const Real> plain_tensor(const PackedWeight& b) {
  const bool transposed = b.stored == Transpose::kYes;
  return Tensor2<const Real>(reinterpret_cast<const Real*>(b.memory.data()), transposed ? b.n : b.k,
                             transposed ? b.k : b.n);
}

}  // namespace polyphase
