// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "kernels/divergence.hpp"
#include "model/pass.hpp"

namespace polyphase {

struct SoftmaxOutcome;

// A head's part in R-Drop (Wu et al., 2021, equation 4 divided by 2, as its released code does):
// with p and q from two passes under other masks, the loss of a term is
//     (CE(p) + CE(q)) / 2 + r_drop · (KL(p ‖ q) + KL(q ‖ p)) / 2.
// In a pass without R-Drop every call does nothing. Divergence is not weighted by class.
class Divergence {
 public:
  // `tensor`: the ranks that hold parts of the logits' columns; nullptr: every rank has them all.
  // Takes its memory in the arena. The head's first 2 · num_pairs rows are the pairs.
  Divergence(const Pass& pass, const Communicator* tensor, std::int64_t num_rows,
             std::int64_t num_pairs);

  bool on() const { return r_drop_ > 0.0F; }
  // Once the rows' softmax is known: for each block of logits, then end().
  void begin(Tensor1<const float> log_sum_M, Tensor1<const std::int32_t> labels_M);
  void add(Tensor2<const float> logits_MK) const;
  // Makes sums over both passes sums over terms, and fills in the divergence.
  void end(const std::vector<std::int32_t>& labels_M, SoftmaxOutcome& outcome) const;

  // What the gradient of the summed cross-entropies of both passes is to be multiplied with.
  float share(float gradient_scale) const { return on() ? 0.5F * gradient_scale : gradient_scale; }
  // Adds gradient_scale × the divergences' gradient to that of a block of logits.
  template <class Real>
  void add_gradient(Tensor2<Real> dlogits_MK, Tensor2<const float> logits_MK,
                    float gradient_scale) const;

 private:
  const Pass& pass_;
  const Communicator* tensor_;
  float r_drop_;
  SoftmaxPairs pairs_;
  Tensor1<float> divergence_M_;
};

}  // namespace polyphase
