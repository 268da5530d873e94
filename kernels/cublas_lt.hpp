// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/matmul_edges.hpp"

// Products of cuBLASLt, which do something more with their operands or result on the way.
namespace polyphase::cublas_lt {

// From the arena, for every such product, and so much more as its alignment may cost.
inline constexpr std::int64_t kWorkspaceBytes = std::int64_t{4} << 20, kWorkspaceAlignment = 256;

enum class Epilogue {
  kBias,      // y = the product + bias_N
  kBiasGelu,  // aux_MN = the product + bias_N, y = GELU (tanh) of that
};

// What the epilogue reads and writes: a bias in the type of the result, and aux, which lies like
// the result.
struct Extra {
  Epilogue epilogue;
  const void* bias = nullptr;
  void* aux = nullptr;
};

// y_MN = op(a) · op(b) [+ y_MN when accumulating], with an epilogue. False, and nothing done, where
// the library has no algorithm for it: the caller then takes its steps one by one. Algorithms are
// those that the library's heuristics choose, once for each shape, type and alignment.
template <class In, class Out>
bool multiply(const Exec& exec, const Tensor2<Out>& y_MN, const Tensor2<const In>& a,
              Transpose op_a, const Tensor2<const In>& b, Transpose op_b, Write write,
              const Extra& extra);

}  // namespace polyphase::cublas_lt
