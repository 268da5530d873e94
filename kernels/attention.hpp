// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "kernels/dropout.hpp"
#include "kernels/exec.hpp"

namespace polyphase {

// The sequences of a micro-batch: sequence b is rows [starts[b], starts[b+1]) of a tensor over N. N
// may be larger than starts[B]: rows behind the last sequence are padding, get zero outputs and
// zero gradients.
struct Sequences {
  std::vector<std::int32_t> starts_host;  // B + 1 values
  Tensor1<const std::int32_t> starts;     // the same in the execution space's memory
  std::int64_t max_tokens = 0;            // the longest sequence
  std::int64_t num_sequences() const { return static_cast<std::int64_t>(starts_host.size()) - 1; }
};

struct AttentionShape {
  std::int64_t num_heads = 0;   // of this rank
  std::int64_t head_width = 0;  // D
  std::int64_t first_head = 0;  // this rank's first one, counted in the whole model: keys dropout
  bool causal = false;
};

// Scaled dot-product attention within each sequence (Vaswani et al., 2017, eq. 1), scores scaled by
// 1/sqrt(D). qkv_N3C holds, for each row, this rank's queries of all heads, then keys, then values
// (C = num_heads × D). Writes out_NC and log_sum_NH: the logarithm of the softmax denominator of
// each row and head, which the backward pass needs. Dropout falls on the probabilities, keyed by
// (row id of the query, key position, head of the whole model). Workspace grows linearly with the
// longest sequence: scores are made for a block of queries at a time.
template <class Real>
void attention_forward(const Exec& exec, Tensor2<Real> out_NC, Tensor2<float> log_sum_NH,
                       Tensor2<const Real> qkv_N3C, const Sequences& sequences,
                       const AttentionShape& shape, const Dropout& dropout);

// Overwrites dqkv_N3C. Probabilities are computed again from qkv and log_sum.
template <class Real>
void attention_backward(const Exec& exec, Tensor2<Real> dqkv_N3C, Tensor2<const Real> dout_NC,
                        Tensor2<const Real> out_NC, Tensor2<const float> log_sum_NH,
                        Tensor2<const Real> qkv_N3C, const Sequences& sequences,
                        const AttentionShape& shape, const Dropout& dropout);

}  // namespace polyphase
