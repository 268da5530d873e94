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
  Tensor1<float> logit_sum_M;    // sum of all logits, for smoothed labels; may be empty
};

// What the softmax of row m is compared with: the loss of a row is
//     row_weight_M[m] · (log_sum - (1 - s) · label logit - s / num_classes · sum of all logits),
// the cross-entropy with the distribution that gives the share s = label_smoothing to all classes
// alike, the label among them (Szegedy et al., 2016, section 7).
struct SoftmaxTarget {
  float label_smoothing = 0.0F;
  std::int64_t num_classes = 0;       // of the whole vocabulary; only read when labels are smoothed
  Tensor1<const float> row_weight_M;  // may be empty: every row weighs 1
};

void softmax_stats_begin(const Exec& exec, const SoftmaxStats& stats);

// Takes in logits_MK, the logits of classes [first_class, first_class + K). A label < 0 marks a row
// that does not count.
void softmax_stats_add(const Exec& exec, const SoftmaxStats& stats, Tensor2<const float> logits_MK,
                       Tensor1<const std::int32_t> labels_M, std::int64_t first_class);

// dlogits_MK = scale · row weight · (softmax - target distribution) for that block: by default the
// one-hot of the label. log_sum_M = max + log(sum) over all classes. Rows with label < 0 get zeros.
// dlogits_MK may be the memory of logits_MK when Real is float.
template <class Real>
void softmax_gradient(const Exec& exec, Tensor2<Real> dlogits_MK, Tensor2<const float> logits_MK,
                      Tensor1<const float> log_sum_M, Tensor1<const std::int32_t> labels_M,
                      float scale, std::int64_t first_class, const SoftmaxTarget& target = {});

}  // namespace polyphase
