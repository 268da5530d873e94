// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/bf16.hpp"
#include "kernels/exec.hpp"

namespace polyphase {

enum class Transpose { kNo, kYes };

// y_MN = op(a) · op(b) [+ bias_N] [+ y_MN when accumulating]; op(a) is M×K, op(b) is K×N. Sums are
// float32 whatever the inputs are. In and Out are each float or bf16. Products come from oneDNN on
// the host and from cuBLAS on CUDA devices; primitives are cached by shape, so callers keep the
// number of different M small. An empty bias (extent 0) adds nothing; with K = 0 the product is 0.
// Takes its workspace from exec.arena, which must be set: inside a parallel region every thread
// brings an arena of its own and multiplies alone. rounded_bias_N is bias_N in bf16 where somebody
// has it: some libraries add a bias in the precision of the result.
template <class In, class Out>
void matmul(const Exec& exec, Tensor2<Out> y_MN, Tensor2<const In> a, Transpose op_a,
            Tensor2<const In> b, Transpose op_b, Write write = Write::kOverwrite,
            Tensor1<const float> bias_N = {}, Tensor1<const bf16> rounded_bias_N = {});

// A K×N weight in the layout that the library multiplies fastest, rounded to the precision of the
// products: made anew when the weight has changed. On the host this gains up to a tenth over a
// plain tensor, and the rounding is part of it.
struct PackedWeight {
  std::int64_t k = 0, n = 0;
  // M that the layout was chosen for; 0: a plain tensor, as `stored` says.
  std::int64_t layout_m = 0;
  Transpose stored = Transpose::kNo;
  Tensor1<const std::byte> memory;
};

// Packs op(w), K×N, for products with about m rows. The memory comes from exec.arena and is the
// caller's to give back; w must live as long, since a plain float weight is not copied.
template <class Real>
PackedWeight pack_weight(const Exec& exec, Tensor2<const float> w, Transpose op, std::int64_t m);

// y_MN = op(a) · b [+ bias_N] [+ y_MN when accumulating], where b was packed as In.
template <class In, class Out>
void matmul(const Exec& exec, Tensor2<Out> y_MN, Tensor2<const In> a, Transpose op_a,
            const PackedWeight& b, Write write = Write::kOverwrite,
            Tensor1<const float> bias_N = {});

}  // namespace polyphase
