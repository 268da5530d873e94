// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/matmul_edges.hpp"

// Products with bf16 operands on processors without bf16 instructions: float32 copies are
// multiplied. Products of bf16 values are exact in float32, so only the order of the sum differs
// from the direct way.
namespace polyphase {

template <class To, class From>
void convert_product_operand(const Exec& exec, const Tensor2<To>& to,
                             const Tensor2<const From>& from) {
  To* const y = to.data();
  const From* const x = from.data();
  Kokkos::parallel_for(
      "convert_product_operand",
      Kokkos::RangePolicy<Space, Kokkos::IndexType<std::int64_t>>(
          exec.space, 0, static_cast<std::int64_t>(from.size())),
      KOKKOS_LAMBDA(std::int64_t i) { y[i] = from_float<To>(to_float(x[i])); });
}

template <class In, class Out>
void matmul_in_float(const Exec& exec, Tensor2<Out> y_MN, Tensor2<const In> a, Transpose op_a,
                     Tensor2<const In> b, Transpose op_b, Write write,
                     Tensor1<const float> bias_N) {
  const ArenaScope scope(*exec.arena);
  const auto a_float = exec.arena->take2<float>(a.extent(0), a.extent(1));
  const auto b_float = exec.arena->take2<float>(b.extent(0), b.extent(1));
  const auto y_float = exec.arena->take2<float>(y_MN.extent(0), y_MN.extent(1));
  if (!exec.counting()) {
    convert_product_operand(exec, a_float, a);
    convert_product_operand(exec, b_float, b);
    if (write == Write::kAccumulate) {
      convert_product_operand(exec, y_float, Tensor2<const Out>(y_MN));
    }
  }
  matmul<float, float>(exec, y_float, a_float, op_a, b_float, op_b, write, bias_N);
  if (!exec.counting()) convert_product_operand(exec, y_MN, Tensor2<const float>(y_float));
}

}  // namespace polyphase
