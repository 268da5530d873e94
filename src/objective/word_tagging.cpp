// SPDX-License-Identifier: Apache-2.0
#include "objective/word_tagging.hpp"

#include <algorithm>

#include "kernels/rows.hpp"
#include "metrics/entity_f1.hpp"
#include "metrics/ratio.hpp"

namespace polyphase {

TaggedWords tagged_words(const Batch& batch) {
  TaggedWords words;
  words.starts.push_back(0);
  for (std::int64_t b = 0; b < batch.num_sequences() && !batch.token_labels_N.empty(); ++b) {
    for (std::int32_t n = batch.starts[b]; n < batch.starts[b + 1]; ++n) {
      if (batch.token_labels_N[n] < 0) continue;
      words.rows_M.push_back(n);
      words.labels_M.push_back(batch.token_labels_N[n]);
      words.ids_M.push_back(batch.row_ids_N[n]);
    }
    words.starts.push_back(static_cast<std::int32_t>(words.rows_M.size()));
  }
  while (words.rows_M.size() % kTargetRowMultiple != 0) {
    words.rows_M.push_back(-1);
    words.labels_M.push_back(-1);
    words.ids_M.push_back(0);
  }
  return words;
}

template <class Real>
std::int64_t WordTagging<Real>::num_terms(const Batch& batch) const {
  return std::count_if(batch.token_labels_N.begin(), batch.token_labels_N.end(),
                       [](std::int32_t label) { return label >= 0; });
}

template <class Real>
Tensor2<Real> WordTagging<Real>::gather(const Pass& pass, const TaggedWords& words,
                                        Tensor1<const std::int32_t> rows_M,
                                        Tensor2<const Real> hidden_NC) const {
  const auto x_MC =
      pass.exec.arena->take2<Real>(static_cast<std::int64_t>(words.rows_M.size()), width_);
  gather_rows<Real>(pass.exec, x_MC, hidden_NC, rows_M);
  return x_MC;
}

template <class Real>
std::vector<Prediction> WordTagging<Real>::predict(const Pass& pass,
                                                   Tensor2<const Real> hidden_NC) {
  const ArenaScope scope(*pass.exec.arena);
  const TaggedWords words = tagged_words(pass.batch);
  const Tensor2<Real> x_MC = gather(pass, words, upload(pass.exec, words.rows_M), hidden_NC);
  const std::vector<std::int32_t> best_M = tag(pass, words, x_MC, {}, 0.0F).best_M;
  std::vector<Prediction> predictions(words.starts.size() - 1);
  for (std::size_t b = 0; b < predictions.size(); ++b) {
    predictions[b].tags_T.assign(best_M.begin() + words.starts[b],
                                 best_M.begin() + words.starts[b + 1]);
  }
  return predictions;
}

template <class Real>
SoftTargets WordTagging<Real>::teach(const Pass& pass, Tensor2<const Real> hidden_NC) {
  const TaggedWords words = tagged_words(pass.batch);
  return teach_words(pass, gather(pass, words, upload(pass.exec, words.rows_M), hidden_NC));
}

template <class Real>
Tally WordTagging<Real>::run(const Pass& pass, Tensor2<const Real> hidden_NC,
                             Tensor2<float> dhidden_NC, float gradient_scale) {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const ArenaScope scope(arena);
  const TaggedWords words = tagged_words(pass.batch);
  const auto m = static_cast<std::int64_t>(words.rows_M.size());
  const Tensor1<const std::int32_t> rows = upload(exec, words.rows_M);
  const Tensor2<Real> x_MC = gather(pass, words, rows, hidden_NC);
  const auto dx_MC = arena.take2<float>(m, width_);
  Dropout dropout = pass.dropout_at(kHeadPlace, pass.dropout.head);
  dropout.row_ids_N = upload(exec, words.ids_M);
  dropout_apply<Real>(exec, x_MC, dropout);
  const Outcome outcome = tag(pass, words, x_MC, dx_MC, gradient_scale);
  if (pass.training) {
    dropout_apply<float>(exec, dx_MC, dropout);
    scatter_rows(exec, dhidden_NC, dx_MC, rows);
  }
  Tally tally = {.nats = outcome.nats,
                 .num_terms = words.starts.back() / (pass.r_drop > 0 ? 2 : 1),
                 .counts = {0, 0, 0, 0},
                 .records = {},
                 .divergence = outcome.divergence};
  if (!exec.counting()) count(words, outcome.best_M, !pass.training, tally);
  return tally;
}

template <class Real>
void WordTagging<Real>::count(const TaggedWords& words, const std::vector<std::int32_t>& best_M,
                              bool entities, Tally& tally) const {
  for (std::size_t b = 0; b + 1 < words.starts.size(); ++b) {
    std::vector<std::string> there, predicted;
    for (std::int32_t m = words.starts[b]; m < words.starts[b + 1]; ++m) {
      if (best_M[m] == words.labels_M[m]) ++tally.counts[0];
      if (!entities) continue;
      there.push_back(tags_[words.labels_M[m]]);
      predicted.push_back(tags_[best_M[m]]);
    }
    const EntityCounts counts = compare_entities(there, predicted);
    tally.counts[1] += counts.correct;
    tally.counts[2] += counts.predicted;
    tally.counts[3] += counts.there;
  }
}

template <class Real>
std::map<std::string, double> WordTagging<Real>::metrics(const Tally& total) const {
  const EntityScore entities = entity_score(
      {.correct = total.counts[1], .predicted = total.counts[2], .there = total.counts[3]});
  return {{"loss", mean_loss(total)},
          {"accuracy", ratio_or_zero(static_cast<double>(total.counts[0]),
                                     static_cast<double>(total.num_terms))},
          {"precision", entities.precision},
          {"recall", entities.recall},
          {"f1", entities.f1}};
}

template class WordTagging<float>;
template class WordTagging<bf16>;

}  // namespace polyphase
