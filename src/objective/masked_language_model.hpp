// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/linear.hpp"
#include "model/norm_layer.hpp"
#include "objective/language_model.hpp"
#include "objective/objective.hpp"
#include "objective/vocabulary_output.hpp"

namespace polyphase {

// Masked language model (Devlin et al., 2019, section 3.1 and the released code's head): transform,
// GELU, norm, then the vocabulary. Only masked rows are computed.
template <class Real>
class MaskedLanguageModel final : public Objective<Real> {
 public:
  MaskedLanguageModel(ParameterSet& parameters, const Communicator& tensor,
                      const recipe::Model& model, const EmbeddingLayer& embedding,
                      const SoftmaxLoss& loss);

  std::string name() const override { return "mlm"; }
  std::int64_t num_terms(const Batch& batch) const override {
    return num_targets(batch.target_labels_M);
  }
  Tally run(const Pass& pass, Tensor2<const Real> hidden_NC, Tensor2<float> dhidden_NC,
            float gradient_scale) override;
  SoftTargets teach(const Pass& pass, Tensor2<const Real> hidden_NC) override;
  void learn_from(SoftTargets soft) override { loss_.soft = std::move(soft); }
  std::map<std::string, double> metrics(const Tally& total) const override {
    return language_model_metrics(total);
  }

 private:
  struct Transformed {  // of the masked rows, in the arena
    Tensor1<const std::int32_t> rows_M;
    Tensor2<Real> x_MC, y_MC;
    Tensor2<float> hidden_MC;  // before GELU
  };
  Transformed transform(const Pass& pass, Tensor2<const Real> hidden_NC);
  void transform_backward(const Pass& pass, const Transformed& t, Tensor2<const float> dy_MC,
                          Tensor2<float> dhidden_NC);

  Linear transform_;
  NormLayer<Real> norm_;
  VocabularyOutput<Real> output_;
  SoftmaxLoss loss_;
  std::int64_t width_;
};

}  // namespace polyphase
