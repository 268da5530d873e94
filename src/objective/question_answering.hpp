// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/linear.hpp"
#include "objective/objective.hpp"
#include "objective/teacher_outputs.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// Where a sequence's answer may begin or end: the rows of its second text but for the [SEP] behind
// them, and its first row, which stands for no answer.
struct AnswerRows {
  std::int32_t none = 0, first = 0, end = 0;  // rows `none` and [first, end)
};
AnswerRows answer_rows(const Rows& rows, std::int64_t sequence);

// The best span by the sum of its two logits (Devlin et al., 2019, section 4.2): last ≥ first, at
// most max_tokens long. Rows' logits stand in pairs (start, end).
struct AnswerSpan {
  std::int32_t first = 0, last = 0;
  float score = 0, score_of_none = 0;  // scores are sums of logits
};
AnswerSpan best_answer(const std::vector<float>& logits_N2, const AnswerRows& rows,
                       std::int64_t max_tokens);

// Extractive question answering: two logits a row, a softmax over the rows that an answer may begin
// or end in, and the mean of both cross-entropies; a teacher's soft labels are its two softmaxes.
// Metrics: loss, exact_match and f1, of tokens within the window that a sample of an evaluation
// shows, which holds the answer if there is one (answer_samples.cpp); `polyphase evaluate --input`
// scores the answers' text over whole contexts.
template <class Real>
class QuestionAnswering final : public Objective<Real> {
 public:
  QuestionAnswering(ParameterSet& parameters, const Communicator& tensor,
                    const recipe::Model& model);

  std::string name() const override { return "question_answering"; }
  std::int64_t num_terms(const Batch& batch) const override { return batch.num_sequences(); }
  Tally run(const Pass& pass, Tensor2<const Real> hidden_NC, Tensor2<float> dhidden_NC,
            float gradient_scale) override;
  std::vector<Prediction> predict(const Pass& pass, Tensor2<const Real> hidden_NC) override;
  SoftTargets teach(const Pass& pass, Tensor2<const Real> hidden_NC) override;
  void learn_from(SoftTargets soft) override { soft_ = std::move(soft); }
  std::map<std::string, double> metrics(const Tally& total) const override;

  // Logits of all rows, in host memory.
  std::vector<float> logits(const Pass& pass, Tensor2<const Real> hidden_NC) const;

 private:
  Linear output_;
  std::optional<SoftTargets> soft_;
};

}  // namespace polyphase
