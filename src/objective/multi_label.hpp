// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "objective/linear_head.hpp"
#include "objective/objective.hpp"
#include "objective/sequence_pooling.hpp"
#include "objective/teacher_outputs.hpp"

namespace polyphase {

// Any number of K labels for every sequence: a pooled state, a linear layer, and for each label the
// cross-entropy of its own sigmoid; a label is predicted from a probability of one half on. The
// loss is the mean over sequences × labels. A teacher is learnt from by the divergence of each
// label's two probabilities, at the temperature, times its square. Metrics as scikit-learn counts
// them: loss, f1 (micro: all decisions together), macro_f1 and accuracy (sequences whose labels are
// all right).
template <class Real>
class MultiLabel final : public Objective<Real> {
 public:
  MultiLabel(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
             const recipe::Task& task, std::int64_t num_labels);

  std::string name() const override { return "multi_label"; }
  std::int64_t num_terms(const Batch& batch) const override {
    return batch.num_sequences() * head_.num_outputs();
  }
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
