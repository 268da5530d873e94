// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/matmul_edges.hpp"

// Products of cuBLASLt, which do something more with their operands or result on the way.
namespace polyphase::cublas_lt {

// From the arena, for every such product, and so much more as its alignment may cost.
inline constexpr std::int64_t kWorkspaceBytes = std::int64_t{4} << 20, kWorkspaceAlignment = 256;

enum class Epilogue {
  kBias,          // y = the product + bias_N
  kBiasGelu,      // aux_MN = the product + bias_N, y = GELU (tanh) of that
  kGeluSlope,     // y = the product · the slope of GELU (tanh) at aux_MN
  kBiasGradient,  // bias_M = sums of the rows of op(a), over the product's K, in float32
};

// What the epilogue reads or writes, as it says there: a bias in the type of the result, and aux,
// which is of its type and lies like it.
struct Extra {
  Epilogue epilogue;
  const void* bias = nullptr;
  const void* aux = nullptr;
};

// The bias of a result in bf16: as it was rounded before, or rounded here, in the arena.
Tensor1<const bf16> rounded_bias(const Exec& exec, const Tensor1<const float>& bias_N,
                                 const Tensor1<const bf16>& rounded_bias_N);

// y_MN = op(a) · op(b) [+ y_MN when accumulating], with an epilogue. False, and nothing done, where
// the library has no algorithm for it: the caller then takes its steps one by one. Algorithms are
// those that the library's heuristics choose, once for each shape, type and alignment. A bias and
// aux that do not lie at a multiple of 16 bytes are left to the steps.
template <class In, class Out>
bool multiply(const Exec& exec, const Tensor2<Out>& y_MN, const Tensor2<const In>& a,
              Transpose op_a, const Tensor2<const In>& b, Transpose op_b, Write write,
              const Extra& extra);

}  // namespace polyphase::cublas_lt
