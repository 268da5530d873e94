// SPDX-License-Identifier: Apache-2.0
#include "objective/tagging.hpp"

namespace polyphase {

template <class Real>
Tagging<Real>::Tagging(ParameterSet& parameters, const Communicator& tensor,
                       const recipe::Model& model, std::vector<std::string> tags, SoftmaxLoss loss)
    : WordTagging<Real>(model.width, tags),
      head_(parameters, tensor, "head.tagging.output", model.width,
            static_cast<std::int64_t>(tags.size())),
      loss_(std::move(loss)) {}

template <class Real>
auto Tagging<Real>::tag(const Pass& pass, const TaggedWords& words, Tensor2<const Real> x_MC,
                        Tensor2<float> dx_MC, float gradient_scale) -> Outcome {
  SoftmaxOutcome outcome = head_.run<Real>(pass, x_MC, dx_MC, words.labels_M, gradient_scale, loss_,
                                           words.starts.back() / 2);
  return {
      .nats = outcome.nats, .divergence = outcome.divergence, .best_M = std::move(outcome.best_M)};
}

template class Tagging<float>;
template class Tagging<bf16>;

}  // namespace polyphase
