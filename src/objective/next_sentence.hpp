// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "objective/objective.hpp"
#include "objective/softmax.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// Next-sentence prediction (Devlin et al., 2019, section 3.1): the first token's hidden state
// through a tanh layer (BERT's pooler) to two classes. A sequence of a single text (label -1) does not count. Class 0: the second text follows the first;
// 1: it does not.
template <class Real>
class NextSentence final : public Objective<Real> {
 public:
  NextSentence(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model);

  std::string name() const override { return "nsp"; }
  std::int64_t num_terms(const Batch& batch) const override;
  Tally run(const Pass& pass, Tensor2<const Real> hidden_NC, Tensor2<float> dhidden_NC,
            float gradient_scale) override;
  std::map<std::string, double> metrics(const Tally& total) const override;

 private:
  std::int64_t width_;
  Linear pool_;
  SoftmaxHead head_;
};

}  // namespace polyphase
