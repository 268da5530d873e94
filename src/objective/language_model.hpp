// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "objective/objective.hpp"
#include "objective/vocabulary_output.hpp"

namespace polyphase {

// Rows of a batch that predict a token.
std::int64_t num_targets(const Batch& batch);

// loss (nats a token), accuracy and perplexity, from a tally whose first count is of the tokens
// predicted right.
std::map<std::string, double> language_model_metrics(const Tally& total);

// Every language model whose rows predict tokens from their hidden states alone: causal, prefix,
// span corruption, text from text. Which row predicts what is the batch's.
template <class Real>
class LanguageModel final : public Objective<Real> {
 public:
  // T5's tied output takes hidden states divided by sqrt(width) (Raffel et al., 2020, released
  // code).
  LanguageModel(ParameterSet& parameters, const recipe::Model& model,
                const EmbeddingLayer& embedding, std::string name, const SoftmaxLoss& loss);

  std::string name() const override { return name_; }
  std::int64_t num_terms(const Batch& batch) const override { return num_targets(batch); }
  Tally run(const Pass& pass, Tensor2<const Real> hidden_NC, Tensor2<float> dhidden_NC,
            float gradient_scale) override;
  SoftTargets teach(const Pass& pass, Tensor2<const Real> hidden_NC) override;
  void learn_from(SoftTargets soft) override { loss_.soft = std::move(soft); }
  std::map<std::string, double> metrics(const Tally& total) const override {
    return language_model_metrics(total);
  }

  // Logits of this tensor-parallel rank's part of the vocabulary for chosen rows of the pass.
  void logits(const Pass& pass, Tensor2<float> logits_MV, Tensor2<const Real> hidden_NC,
              const std::vector<std::int32_t>& rows_M) const override;
  Split vocabulary() const override { return output_.vocabulary(); }

 private:
  // The rows' hidden states as the output product takes them, in the arena.
  Tensor2<Real> inputs(const Pass& pass, Tensor2<const Real> hidden_NC,
                       Tensor1<const std::int32_t> rows_M) const;

  std::string name_;
  VocabularyOutput<Real> output_;
  SoftmaxLoss loss_;
  std::int64_t width_;
  float input_scale_;
};

}  // namespace polyphase
