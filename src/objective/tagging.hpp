// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "objective/softmax.hpp"
#include "objective/word_tagging.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// A tag for every word, each by itself: a linear layer and a softmax.
template <class Real>
class Tagging final : public WordTagging<Real> {
 public:
  Tagging(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
          std::vector<std::string> tags, SoftmaxLoss loss = {});

  void learn_from(SoftTargets soft) override { loss_.soft = std::move(soft); }

 private:
  using typename WordTagging<Real>::Outcome;
  Outcome tag(const Pass& pass, const TaggedWords& words, Tensor2<const Real> x_MC,
              Tensor2<float> dx_MC, float gradient_scale) override;
  SoftTargets teach_words(const Pass& pass, Tensor2<const Real> x_MC) override {
    return head_.template teach<Real>(pass, x_MC);
  }

  SoftmaxHead head_;
  SoftmaxLoss loss_;
};

}  // namespace polyphase
