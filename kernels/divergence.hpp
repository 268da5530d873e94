// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

namespace polyphase {

// How far two softmaxes of the same thing lie apart: rows p and P + p of logits, for p < P =
// num_pairs, by Kullback and Leibler's divergence. Logits come in blocks of columns, as for the
// cross-entropy (kernels/cross_entropy.hpp); log_sum_M is over all of them. Pairs with a label < 0
// do not count.
struct SoftmaxPairs {
  std::int64_t num_pairs = 0;
  Tensor1<const float> log_sum_M;
  Tensor1<const std::int32_t> labels_M;
};

// divergence_M[m] += the block's part of KL(softmax of row m ‖ softmax of its partner). Rows behind
// the pairs are left alone.
void divergence_add(const Exec& exec, Tensor1<float> divergence_M, Tensor2<const float> logits_MK,
                    const SoftmaxPairs& pairs);

// dlogits_MK += scale × gradient of the sum of all rows' divergences, which divergence_M holds
// whole: of row m with softmax p and partner's q, by logit k,
//     p_k (log p_k - log q_k - KL(p ‖ q)) + p_k - q_k,
// the second part from KL(q ‖ p). dlogits_MK must not be the memory of logits_MK.
template <class Real>
void divergence_gradient_add(const Exec& exec, Tensor2<Real> dlogits_MK,
                             Tensor2<const float> logits_MK, Tensor1<const float> divergence_M,
                             const SoftmaxPairs& pairs, float scale);

}  // namespace polyphase
