// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/crf.hpp"
#include "objective/linear_head.hpp"
#include "objective/teacher_outputs.hpp"
#include "objective/word_tagging.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// Which tag may follow which and which may come first, row by row; both empty without rules.
struct TagRules {
  std::vector<std::int32_t> transition_KK, start_K;
};

// The rules of BIO: I-x only behind B-x or I-x. There are none when a tag is neither O nor begins
// with B- or I-. A sentence of the training data that breaks them costs kForbiddenScore a place.
TagRules bio_rules(const std::vector<std::string>& tags);

// Tags of all words of a sentence together: a linear layer gives each word's emissions, a
// linear-chain random field the tags' probability and the best ones (kernels/crf.hpp). The linear
// layer is that of Tagging, by the same name, so that a phase can take over the head of one that
// trained with a softmax. Its other parameters are head.crf.transitions [from, to], head.crf.start
// and head.crf.end, which begin at 0. Loss: nats of a sentence's tags a word, to be compared with
// Tagging's. The same on every tensor-parallel rank. A teacher is such a field too, and its soft
// labels are of whole sentences (soft_crf_loss.hpp).
template <class Real>
class CrfTagging final : public WordTagging<Real> {
 public:
  CrfTagging(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
             std::vector<std::string> tags);

  void learn_from(SoftTargets soft) override { soft_ = std::move(soft); }

 private:
  using typename WordTagging<Real>::Outcome;
  Outcome tag(const Pass& pass, const TaggedWords& words, Tensor2<const Real> x_MC,
              Tensor2<float> dx_MC, float gradient_scale) override;
  SoftTargets teach_words(const Pass& pass, Tensor2<const Real> x_MC) override;
  CrfParameters field() const;
  // Writes all gradients. Returns the loss given the labels' part of it.
  double learn(const Pass& pass, Tensor2<const Real> x_MC, Tensor2<float> dx_MC,
               const CrfForward& forward, const CrfWords& words, const CrfParameters& scores,
               const CrfRules& rules, double nats, float gradient_scale);
  // The gradient of the emissions, and those of the field's own parameters; likewise.
  double learn_field(const Exec& exec, Tensor2<Real> demission_MK, const CrfForward& forward,
                     const CrfWords& words, const CrfParameters& scores, const CrfRules& rules,
                     double nats, float gradient_scale);

  ParameterSet& parameters_;
  LinearHead emission_;
  std::optional<SoftTargets> soft_;
  TagRules rules_;
  std::size_t transition_ = 0, start_ = 0, end_ = 0;
};

}  // namespace polyphase
