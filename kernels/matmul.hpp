// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

namespace polyphase {

enum class Transpose { kNo, kYes };

// y_MN = op(a) · op(b) [+ bias_N] [+ y_MN when accumulating]; op(a) is M×K, op(b) is K×N. Sums are float32
// whatever the inputs are. In and Out are each float or bf16. Products come from oneDNN on the host and from cuBLAS
// on CUDA devices; primitives are cached by shape, so callers keep the number of different M small.
// An empty bias (extent 0) adds nothing; with K = 0 the product is 0. Takes its workspace from exec.arena, which must be
// set: inside a parallel region every thread brings an arena of its own and multiplies alone.
template <class In, class Out>
void matmul(const Exec& exec, Tensor2<Out> y_MN, Tensor2<const In> a, Transpose op_a,
            Tensor2<const In> b, Transpose op_b, Write write = Write::kOverwrite,
            Tensor1<const float> bias_N = {});

}  // namespace polyphase
