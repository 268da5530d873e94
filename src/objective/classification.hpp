// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "objective/objective.hpp"
#include "objective/softmax.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// Classes of whole sequences: the mean of the final hidden states (or the first one), dropout, a
// linear layer. Metrics: loss, accuracy, f1 (macro: the mean over classes; a class that is neither
// there nor predicted counts 0).
template <class Real>
class Classification final : public Objective<Real> {
 public:
  Classification(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
                 recipe::Pooling pooling, std::int64_t num_classes, SoftmaxLoss loss = {});

  std::string name() const override { return "classification"; }
  std::int64_t num_terms(const Batch& batch) const override { return batch.num_sequences(); }
  Tally run(const Pass& pass, Tensor2<const Real> hidden_NC, Tensor2<float> dhidden_NC,
            float gradient_scale) override;
  std::map<std::string, double> metrics(const Tally& total) const override;

 private:
  recipe::Pooling pooling_;
  std::int64_t width_;
  std::int64_t num_classes_;
  SoftmaxHead head_;
  SoftmaxLoss loss_;
};

}  // namespace polyphase
