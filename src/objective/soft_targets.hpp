// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/crf.hpp"
#include "kernels/distillation.hpp"

namespace polyphase {

// What a teacher says of the rows that an objective classifies, and how much it counts.
struct SoftTargets {
  // Fills logits_MK with the teacher's logits of the same rows in the same order, for classes
  // [first, first + K) of this tensor-parallel rank's part.
  std::function<void(Tensor2<float> logits_MK, std::int64_t first)> logits;
  float temperature = 1.0F;
  float weight = 0.0F;  // of the soft labels; the hard ones weigh 1 - weight
  CrfParameters chain;  // of a random field, whose emissions the logits are
};

// The soft part of the loss of M rows, weight · T² · divergence of the student from the teacher
// (Hinton et al., 2015, section 2), next to the cross-entropy with the labels. The gradient counts
// T² too, so that both parts keep their sizes whatever the temperature is.
class SoftLoss {
 public:
  // Takes its memory in the arena; blocks have at most `widest` classes.
  SoftLoss(const Exec& exec, const SoftTargets& targets, std::int64_t num_rows,
           std::int64_t widest);

  float hard_weight() const { return 1.0F - targets_.weight; }

  // Statistics of a block of the student's logits, which begins at class `first`.
  void add(Tensor2<const float> logits_MK, std::int64_t first);
  // Sum of the rows whose label is not negative, in nats, after all blocks. `tensor`: the ranks
  // that the classes are split over, or nullptr.
  double finish(const std::vector<std::int32_t>& labels_M, const Communicator* tensor);
  // dlogits_MK += scale · gradient of that sum for a block.
  template <class Real>
  void add_gradient(Tensor2<Real> dlogits_MK, Tensor2<const float> logits_MK,
                    Tensor1<const std::int32_t> labels_M, std::int64_t first, float scale);

 private:
  Tensor2<const float> teacher_block(std::int64_t num_classes, std::int64_t first);

  const Exec& exec_;
  const SoftTargets& targets_;
  std::int64_t num_rows_;
  Tensor1<float> teacher_logits_;
  std::int64_t held_first_ = -1;  // of the block that teacher_logits_ holds
  SoftStats stats_;
  Tensor1<const float> student_log_sum_M_, teacher_log_sum_M_;
};

}  // namespace polyphase
