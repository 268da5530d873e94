// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "objective/objective.hpp"
#include "objective/vocabulary_output.hpp"

namespace polyphase {

// Rows of a batch that predict a token, and that token; padded by (-1, -1) to at least one multiple
// of kTargetRowMultiple, so that there is a product where a batch has nothing of the kind.
struct TargetRows {
  std::vector<std::int32_t> rows_M, labels_M;
};
TargetRows targets_of(const Batch& batch, OfKind kind);

// Of the batch, those that count.
std::int64_t num_targets(const std::vector<std::int32_t>& labels_M);

// loss (nats a token), accuracy and perplexity, from a tally whose first count is of the tokens
// predicted right.
std::map<std::string, double> language_model_metrics(const Tally& total);

// Every language model whose rows predict tokens from their hidden states alone: causal, prefix,
// span corruption, text from text. Which row predicts what is the batch's. Those of one phase share
// the output.
template <class Real>
class LanguageModel final : public Objective<Real> {
 public:
  // T5's tied output takes hidden states divided by sqrt(width) (Raffel et al., 2020, released
  // code).
  LanguageModel(std::shared_ptr<VocabularyOutput<Real>> output, const recipe::Model& model,
                std::string name, OfKind kind, const SoftmaxLoss& loss);

  std::string name() const override { return name_; }
  std::int64_t num_terms(const Batch& batch) const override {
    return num_targets(targets_of(batch, kind_).labels_M);
  }
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
  Split vocabulary() const override { return output_->vocabulary(); }

 private:
  // The rows' hidden states as the output product takes them, in the arena.
  Tensor2<Real> inputs(const Pass& pass, Tensor2<const Real> hidden_NC,
                       Tensor1<const std::int32_t> rows_M) const;

  std::string name_;
  OfKind kind_;
  std::shared_ptr<VocabularyOutput<Real>> output_;
  SoftmaxLoss loss_;
  std::int64_t width_;
  float input_scale_;
};

}  // namespace polyphase
