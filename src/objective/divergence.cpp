// SPDX-License-Identifier: Apache-2.0
#include "objective/divergence.hpp"

#include "comm/device_sum.hpp"
#include "kernels/elementwise.hpp"
#include "objective/softmax.hpp"

namespace polyphase {

Divergence::Divergence(const Pass& pass, const Communicator* tensor, std::int64_t num_rows,
                       std::int64_t num_pairs)
    : pass_(pass),
      tensor_(tensor),
      r_drop_(pass.training ? pass.r_drop : 0.0F),
      pairs_{.num_pairs = num_pairs, .log_sum_M = {}, .labels_M = {}} {
  if (on()) divergence_M_ = pass.exec.arena->take1<float>(num_rows);
}

void Divergence::begin(Tensor1<const float> log_sum_M, Tensor1<const std::int32_t> labels_M) {
  if (!on()) return;
  pairs_.log_sum_M = log_sum_M;
  pairs_.labels_M = labels_M;
  fill(pass_.exec, divergence_M_, 0.0F);
}

void Divergence::add(Tensor2<const float> logits_MK) const {
  if (on()) divergence_add(pass_.exec, divergence_M_, logits_MK, pairs_);
}

void Divergence::end(const std::vector<std::int32_t>& labels_M, SoftmaxOutcome& outcome) const {
  if (!on()) return;
  outcome.nats /= 2;
  outcome.num_terms /= 2;
  outcome.num_correct /= 2;
  if (pass_.exec.counting()) return;
  if (tensor_ != nullptr) sum_over_ranks(pass_.exec, *tensor_, divergence_M_);
  const std::vector<float> both = download<float>(pass_.exec, divergence_M_);
  for (std::int64_t p = 0; p < pairs_.num_pairs; ++p) {
    if (labels_M[p] < 0) continue;
    outcome.divergence += (static_cast<double>(both[p]) + both[pairs_.num_pairs + p]) / 2;
  }
}

template <class Real>
void Divergence::add_gradient(Tensor2<Real> dlogits_MK, Tensor2<const float> logits_MK,
                              float gradient_scale) const {
  if (!on()) return;
  divergence_gradient_add<Real>(pass_.exec, dlogits_MK, logits_MK, divergence_M_, pairs_,
                                0.5F * r_drop_ * gradient_scale);
}

template void Divergence::add_gradient(Tensor2<float>, Tensor2<const float>, float) const;
template void Divergence::add_gradient(Tensor2<bf16>, Tensor2<const float>, float) const;

}  // namespace polyphase
