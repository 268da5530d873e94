// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

namespace polyphase {

// Cross-entropy over a vocabulary seen in blocks of columns: statistics grow block by block (online
// softmax, Milakov and Gimelshein, 2018), on each rank over its own part; ranks then combine theirs
// (max, then rescaled sums).
struct SoftmaxStats {
  Tensor1<float> max_M;          // largest logit
  Tensor1<float> sum_M;          // sum of exp(logit - max)
  Tensor1<float> label_logit_M;  // logit of the label, 0 where the label is not in the blocks seen
  Tensor1<std::int32_t> best_M;  // class with the largest logit; the lowest such class
};

void softmax_stats_begin(const Exec& exec, const SoftmaxStats& stats);

// Takes in logits_MK, the logits of classes [first_class, first_class + K). A label < 0 marks a row
// that does not count.
void softmax_stats_add(const Exec& exec, const SoftmaxStats& stats, Tensor2<const float> logits_MK,
                       Tensor1<const std::int32_t> labels_M, std::int64_t first_class);

// dlogits_MK = scale · (softmax - onehot(label)) for that block; log_sum_M = max + log(sum) over
// all classes. Rows with label < 0 get zeros. dlogits_MK may be the memory of logits_MK when Real
// is float.
template <class Real>
void softmax_gradient(const Exec& exec, Tensor2<Real> dlogits_MK, Tensor2<const float> logits_MK,
                      Tensor1<const float> log_sum_M, Tensor1<const std::int32_t> labels_M,
                      float scale, std::int64_t first_class);

}  // namespace polyphase
