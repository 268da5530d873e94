// SPDX-License-Identifier: Apache-2.0
#include "objective/question_answering.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/elementwise.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kLongestAnswer = 30;  // tokens, as in BERT's released code

// Calls visit(row) for every row that an answer may begin or end in.
template <class Visit>
void each_row(const AnswerRows& rows, const Visit& visit) {
  visit(rows.none);
  for (std::int32_t row = rows.first; row < rows.end; ++row) visit(row);
}

// One end of the answer: a softmax over its sequence's rows at a temperature. Column 0 of the
// logits is the first token's, column 1 the last one's.
class EndSoftmax {
 public:
  EndSoftmax(const std::vector<float>& logits_N2, int column, const AnswerRows& rows,
             double temperature = 1.0)
      : logits_N2_(logits_N2), column_(column), temperature_(temperature) {
    double max = logit(rows.none), sum = 0;
    each_row(rows, [&](std::int32_t row) { max = std::max(max, logit(row)); });
    each_row(rows, [&](std::int32_t row) { sum += std::exp(logit(row) - max); });
    log_sum_ = max + std::log(sum);
  }

  double log_probability(std::int32_t row) const { return logit(row) - log_sum_; }
  double probability(std::int32_t row) const { return std::exp(log_probability(row)); }

 private:
  double logit(std::int32_t row) const {
    return double{logits_N2_[2 * row + column_]} / temperature_;
  }

  const std::vector<float>& logits_N2_;
  int column_;
  double temperature_, log_sum_ = 0;
};

// Cross-entropy of one end of the answer; adds gradient_scale × its gradient.
double add_loss(const std::vector<float>& logits_N2, int column, const AnswerRows& rows,
                std::int32_t label, float gradient_scale, std::vector<float>& dlogits_N2) {
  const EndSoftmax softmax(logits_N2, column, rows);
  each_row(rows, [&](std::int32_t row) {
    dlogits_N2[2 * row + column] +=
        gradient_scale * static_cast<float>(softmax.probability(row) - (row == label ? 1.0 : 0.0));
  });
  return -softmax.log_probability(label);
}

// weight · T² · KL(teacher ‖ student) of one end of the answer (Hinton et al., 2015, section 2);
// likewise.
double add_soft_loss(const std::vector<float>& logits_N2, const std::vector<float>& taught_N2,
                     int column, const AnswerRows& rows, const SoftTargets& soft,
                     float gradient_scale, std::vector<float>& dlogits_N2) {
  const double temperature = soft.temperature, weight = soft.weight;
  const EndSoftmax student(logits_N2, column, rows, temperature),
      teacher(taught_N2, column, rows, temperature);
  double divergence = 0;
  each_row(rows, [&](std::int32_t row) {
    const double p = teacher.probability(row);
    divergence += p * (teacher.log_probability(row) - student.log_probability(row));
    dlogits_N2[2 * row + column] +=
        gradient_scale * static_cast<float>(weight * temperature * (student.probability(row) - p));
  });
  return weight * temperature * temperature * divergence;
}

// Tokens that both spans hold, for the F1 of their overlap.
std::int64_t overlap(std::int32_t first_a, std::int32_t last_a, std::int32_t first_b,
                     std::int32_t last_b) {
  return std::max<std::int64_t>(0, std::min(last_a, last_b) - std::max(first_a, first_b) + 1);
}

}  // namespace

AnswerRows answer_rows(const Rows& rows, std::int64_t sequence) {
  const std::int32_t begin = rows.starts[sequence], end = rows.starts[sequence + 1];
  AnswerRows result{.none = begin, .first = end, .end = std::max(begin, end - 1)};
  for (std::int32_t row = begin; row < end; ++row) {
    if (!in_second_text(rows.segments_N[row])) continue;
    result.first = row;
    break;
  }
  result.first = std::min(result.first, result.end);
  return result;
}

AnswerSpan best_answer(const std::vector<float>& logits_N2, const AnswerRows& rows,
                       std::int64_t max_tokens) {
  AnswerSpan best{.first = rows.none,
                  .last = rows.none,
                  .score = -std::numeric_limits<float>::infinity(),
                  .score_of_none = logits_N2[2 * rows.none] + logits_N2[2 * rows.none + 1]};
  for (std::int32_t first = rows.first; first < rows.end; ++first) {
    const auto end =
        static_cast<std::int32_t>(std::min<std::int64_t>(rows.end, first + max_tokens));
    for (std::int32_t last = first; last < end; ++last) {
      const float score = logits_N2[2 * first] + logits_N2[2 * last + 1];
      if (score > best.score) {
        best.first = first;
        best.last = last;
        best.score = score;
      }
    }
  }
  return best;
}

template <class Real>
QuestionAnswering<Real>::QuestionAnswering(ParameterSet& parameters, const Communicator& tensor,
                                           const recipe::Model& model)
    : output_(parameters, tensor, {{"head.question_answering", 2}}, {.in = model.width}) {}

template <class Real>
std::vector<float> QuestionAnswering<Real>::logits(const Pass& pass,
                                                   Tensor2<const Real> hidden_NC) const {
  const ArenaScope scope(*pass.exec.arena);
  const auto logits_N2 = pass.exec.arena->take2<float>(pass.num_rows, 2);
  output_.template forward<Real, float>(pass, logits_N2, hidden_NC);
  std::vector<float> host(static_cast<std::size_t>(2 * pass.num_rows), 0.0F);
  if (!pass.exec.counting()) {
    copy_to_host(pass.exec, host.data(), Tensor1<const float>(flat(logits_N2)));
  }
  return host;
}

template <class Real>
Tally QuestionAnswering<Real>::run(const Pass& pass, Tensor2<const Real> hidden_NC,
                                   Tensor2<float> dhidden_NC, float gradient_scale) {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const ArenaScope scope(arena);
  const Batch& batch = pass.batch;
  const std::vector<float> logits_N2 = logits(pass, hidden_NC);
  const std::vector<float> taught_N2 = outputs_of_teacher(pass, soft_, pass.num_rows, 2);
  const float hard = taught_N2.empty() ? 1.0F : 1.0F - soft_->weight;
  std::vector<float> dlogits_N2(logits_N2.size(), 0.0F);
  // Counts: exact matches; tokens in common, in the prediction and in the answer of each sequence
  // make an F1, kept in millionths so that sums are exact.
  Tally tally = {.num_terms = batch.num_sequences(), .counts = {0, 0}};
  for (std::int64_t b = 0; b < batch.num_sequences() && !exec.counting(); ++b) {
    const AnswerRows rows = answer_rows(batch, b);
    const std::int32_t first = batch.answer_first_B[b], last = batch.answer_last_B[b];
    const float half = 0.5F * gradient_scale;
    tally.nats += 0.5 * hard *
                  (add_loss(logits_N2, 0, rows, first, hard * half, dlogits_N2) +
                   add_loss(logits_N2, 1, rows, last, hard * half, dlogits_N2));
    for (const int column : {0, 1}) {
      if (taught_N2.empty()) break;
      tally.nats +=
          0.5 * add_soft_loss(logits_N2, taught_N2, column, rows, *soft_, half, dlogits_N2);
    }
    if (pass.training) continue;
    AnswerSpan best = best_answer(logits_N2, rows, kLongestAnswer);
    if (best.score_of_none > best.score) best.first = best.last = rows.none;
    const bool same = best.first == first && best.last == last;
    const std::int64_t common = overlap(best.first, best.last, first, last);
    const std::int64_t total = (best.last - best.first + 1) + (last - first + 1);
    tally.counts[0] += same ? 1 : 0;
    tally.counts[1] += 2'000'000 * common / total;
  }
  if (pass.training) {
    const Tensor1<const float> uploaded = upload(exec, dlogits_N2);
    const auto dlogits = arena.take2<Real>(pass.num_rows, 2);
    const auto dx_NC =
        arena.take2<float>(pass.num_rows, static_cast<std::int64_t>(hidden_NC.extent(1)));
    convert<Real, float>(exec, flat(dlogits), uploaded);
    output_.template backward_weight_and_bias<Real>(pass, dlogits, hidden_NC);
    output_.template backward_input<Real, float>(pass, dx_NC, dlogits);
    add(exec, flat(dhidden_NC), Tensor1<const float>(flat(dx_NC)));
  }
  return tally;
}

template <class Real>
std::vector<Prediction> QuestionAnswering<Real>::predict(const Pass& pass,
                                                         Tensor2<const Real> hidden_NC) {
  const std::vector<float> logits_N2 = logits(pass, hidden_NC);
  std::vector<Prediction> predictions;
  for (std::int64_t b = 0; b < pass.batch.num_sequences(); ++b) {
    const AnswerRows rows = answer_rows(pass.batch, b);
    const AnswerSpan best = best_answer(logits_N2, rows, kLongestAnswer);
    predictions.push_back({.answer = {.first = best.first - rows.none,
                                      .last = best.last - rows.none,
                                      .score = best.score,
                                      .score_of_none = best.score_of_none}});
  }
  return predictions;
}

template <class Real>
SoftTargets QuestionAnswering<Real>::teach(const Pass& pass, Tensor2<const Real> hidden_NC) {
  return {.logits = [this, &pass, hidden_NC](Tensor2<float> logits_N2, std::int64_t) {
    output_.template forward<Real, float>(pass, logits_N2, hidden_NC);
  }};
}

template <class Real>
std::map<std::string, double> QuestionAnswering<Real>::metrics(const Tally& total) const {
  const auto n = static_cast<double>(total.num_terms);
  return {{"loss", mean_loss(total)},
          {"exact_match", static_cast<double>(total.counts[0]) / n},
          {"f1", static_cast<double>(total.counts[1]) / 1e6 / n}};
}

template class QuestionAnswering<float>;
template class QuestionAnswering<bf16>;

}  // namespace polyphase
