// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "objective/mixup.hpp"
#include "objective/objective.hpp"
#include "objective/sequence_pooling.hpp"
#include "objective/softmax.hpp"

namespace polyphase {

// Classes of whole sequences: a pooled state, a linear layer, a softmax. Metrics as scikit-learn
// counts them: loss, accuracy, f1 (macro: the mean over classes that are there or predicted) and
// matthews.
template <class Real>
class Classification final : public Objective<Real> {
 public:
  Classification(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
                 const recipe::Task& task, std::int64_t num_classes, SoftmaxLoss loss = {},
                 MixUp mixup = {});

  std::string name() const override { return "classification"; }
  std::int64_t num_terms(const Batch& batch) const override { return batch.num_sequences(); }
  Tally run(const Pass& pass, Tensor2<const Real> hidden_NC, Tensor2<float> dhidden_NC,
            float gradient_scale) override;
  std::vector<Prediction> predict(const Pass& pass, Tensor2<const Real> hidden_NC) override;
  Tally judge(const std::vector<Prediction>& predictions, const Batch& batch) const override;
  SoftTargets teach(const Pass& pass, Tensor2<const Real> hidden_NC) override;
  void learn_from(SoftTargets soft) override { loss_.soft = std::move(soft); }
  std::map<std::string, double> metrics(const Tally& total) const override;

 private:
  Tally run_mixed(const Pass& pass, const typename SequencePooling<Real>::Pooled& pooled,
                  float gradient_scale);

  SequencePooling<Real> pooling_;
  std::int64_t num_classes_;
  SoftmaxHead head_;
  SoftmaxLoss loss_;
  MixUp mixup_;
};

}  // namespace polyphase
