// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "objective/objective.hpp"
#include "objective/softmax.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// What a pair of texts is to each other: next-sentence prediction (Devlin et al., 2019,
// section 3.1) and sentence-order prediction (Lan et al., 2020, section 3.1). The first token's
// hidden state goes through a tanh layer (BERT's pooler) to two classes. A sequence of a single
// text (label -1) does not count.
template <class Real>
class SequencePair final : public Objective<Real> {
 public:
  // `name` is nsp or sop.
  SequencePair(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
               std::string name, OfKind kind);

  std::string name() const override { return name_; }
  std::int64_t num_terms(const Batch& batch) const override;
  Tally run(const Pass& pass, Tensor2<const Real> hidden_NC, Tensor2<float> dhidden_NC,
            float gradient_scale) override;
  SoftTargets teach(const Pass& pass, Tensor2<const Real> hidden_NC) override;
  void learn_from(SoftTargets soft) override { loss_.soft = std::move(soft); }
  std::map<std::string, double> metrics(const Tally& total) const override;

 private:
  struct Pooled {  // of the sequences' first rows, in the arena
    Tensor1<const std::int32_t> rows_B;
    Tensor2<Real> first_BC, hidden_BC, pooled_BC;
  };
  std::vector<std::int32_t> labels_of(const Batch& batch) const;
  Pooled pool(const Pass& pass, Tensor2<const Real> hidden_NC) const;

  std::string name_;
  OfKind kind_;
  std::int64_t width_;
  Linear pool_;
  SoftmaxHead head_;
  SoftmaxLoss loss_;
};

}  // namespace polyphase
