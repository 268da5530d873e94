// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "objective/linear_head.hpp"
#include "objective/objective.hpp"
#include "objective/sequence_pooling.hpp"
#include "objective/teacher_outputs.hpp"

namespace polyphase {

// A number for every sequence: a pooled state and a linear layer with one output. Metrics: loss
// (the mean squared error; from a teacher's number with its weight) and the pearson and spearman
// correlations of true and predicted numbers, as SciPy has them.
template <class Real>
class Regression final : public Objective<Real> {
 public:
  Regression(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
             const recipe::Task& task);

  std::string name() const override { return "regression"; }
  std::int64_t num_terms(const Batch& batch) const override { return batch.num_sequences(); }
  // Records: of every sequence, its true number and the predicted one.
  Tally run(const Pass& pass, Tensor2<const Real> hidden_NC, Tensor2<float> dhidden_NC,
            float gradient_scale) override;
  std::vector<Prediction> predict(const Pass& pass, Tensor2<const Real> hidden_NC) override;
  Tally judge(const std::vector<Prediction>& predictions, const Batch& batch) const override;
  SoftTargets teach(const Pass& pass, Tensor2<const Real> hidden_NC) override;
  void learn_from(SoftTargets soft) override { soft_ = std::move(soft); }
  std::map<std::string, double> metrics(const Tally& total) const override;

 private:
  SequencePooling<Real> pooling_;
  LinearHead head_;
  std::optional<SoftTargets> soft_;
};

}  // namespace polyphase
