// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "objective/objective.hpp"
#include "objective/softmax.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// A tag for every word: dropout and a linear layer on the hidden state of the word's first piece.
// Metrics: loss, accuracy (of words), and f1, precision, recall of whole entities in BIO tags
// (micro-averaged).
template <class Real>
class Tagging final : public Objective<Real> {
 public:
  Tagging(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
          std::vector<std::string> tags);

  std::string name() const override { return "tagging"; }
  std::int64_t num_terms(const Batch& batch) const override;
  Tally run(const Pass& pass, Tensor2<const Real> hidden_NC, Tensor2<float> dhidden_NC,
            float gradient_scale) override;
  std::map<std::string, double> metrics(const Tally& total) const override;

 private:
  void count_entities(const Batch& batch, const std::vector<std::int32_t>& rows_M,
                      const std::vector<std::int32_t>& best_M, Tally& tally) const;

  std::vector<std::string> tags_;
  std::int64_t width_;
  SoftmaxHead head_;
};

}  // namespace polyphase
