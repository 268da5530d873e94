// SPDX-License-Identifier: Apache-2.0
#include "objective/tagging.hpp"

#include <algorithm>

#include "kernels/rows.hpp"
#include "metrics/entity_f1.hpp"

namespace polyphase {
namespace {

constexpr std::uint64_t kHeadPlace = std::uint64_t{1} << 30;

// Rows that carry a tag, and as many -1 as round their number up, so that products see few shapes.
std::vector<std::int32_t> tagged_rows(const Batch& batch) {
  std::vector<std::int32_t> rows;
  for (std::size_t n = 0; n < batch.token_labels_N.size(); ++n) {
    if (batch.token_labels_N[n] >= 0) rows.push_back(static_cast<std::int32_t>(n));
  }
  while (rows.size() % kMaskedRowMultiple != 0) rows.push_back(-1);
  return rows;
}

}  // namespace

template <class Real>
Tagging<Real>::Tagging(ParameterSet& parameters, const Communicator& tensor,
                       const recipe::Model& model, std::vector<std::string> tags)
    : tags_(std::move(tags)),
      width_(model.width),
      head_(parameters, tensor, "head.tagging.output", model.width,
            static_cast<std::int64_t>(tags_.size())) {}

template <class Real>
std::int64_t Tagging<Real>::num_terms(const Batch& batch) const {
  return std::count_if(batch.token_labels_N.begin(), batch.token_labels_N.end(),
                       [](std::int32_t label) { return label >= 0; });
}

template <class Real>
Tally Tagging<Real>::run(const Pass& pass, Tensor2<const Real> hidden_NC, Tensor2<float> dhidden_NC,
                         float gradient_scale) {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const ArenaScope scope(arena);
  const std::vector<std::int32_t> rows_M = tagged_rows(pass.batch);
  const auto m = static_cast<std::int64_t>(rows_M.size());
  std::vector<std::int32_t> labels_M(rows_M.size(), -1);
  std::vector<std::uint64_t> ids_M(rows_M.size(), 0);
  for (std::size_t i = 0; i < rows_M.size() && rows_M[i] >= 0; ++i) {
    labels_M[i] = pass.batch.token_labels_N[rows_M[i]];
    ids_M[i] = pass.batch.row_ids_N[rows_M[i]];
  }
  const Tensor1<const std::int32_t> rows = upload(exec, rows_M);
  const auto x_MC = arena.take2<Real>(m, width_);
  const auto dx_MC = arena.take2<float>(m, width_);
  Dropout dropout = pass.dropout_at(kHeadPlace, pass.dropout.hidden);
  dropout.row_ids_N = upload(exec, ids_M);
  gather_rows<Real>(exec, x_MC, hidden_NC, rows);
  dropout_apply<Real>(exec, x_MC, dropout);
  const SoftmaxOutcome outcome = head_.run<Real>(pass, x_MC, dx_MC, labels_M, gradient_scale);
  if (pass.training) {
    dropout_apply<float>(exec, dx_MC, dropout);
    scatter_rows(exec, dhidden_NC, dx_MC, rows);
  }
  Tally tally = {.nats = outcome.nats,
                 .num_terms = outcome.num_terms,
                 .counts = {outcome.num_correct, 0, 0, 0}};
  if (!pass.training && !exec.counting()) count_entities(pass.batch, rows_M, outcome.best_M, tally);
  return tally;
}

template <class Real>
void Tagging<Real>::count_entities(const Batch& batch, const std::vector<std::int32_t>& rows_M,
                                   const std::vector<std::int32_t>& best_M, Tally& tally) const {
  std::size_t i = 0;
  for (std::int64_t b = 0; b < batch.num_sequences(); ++b) {
    std::vector<std::string> there, predicted;
    for (; i < rows_M.size() && rows_M[i] >= 0 && rows_M[i] < batch.starts[b + 1]; ++i) {
      there.push_back(tags_[batch.token_labels_N[rows_M[i]]]);
      predicted.push_back(tags_[best_M[i]]);
    }
    const EntityCounts counts = compare_entities(there, predicted);
    tally.counts[1] += counts.correct;
    tally.counts[2] += counts.predicted;
    tally.counts[3] += counts.there;
  }
}

template <class Real>
std::map<std::string, double> Tagging<Real>::metrics(const Tally& total) const {
  const auto ratio = [](std::int64_t a, std::int64_t b) {
    return b == 0 ? 0.0 : static_cast<double>(a) / static_cast<double>(b);
  };
  const std::int64_t correct = total.counts[1], predicted = total.counts[2],
                     there = total.counts[3];
  return {{"loss", mean_loss(total)},
          {"accuracy", ratio(total.counts[0], total.num_terms)},
          {"precision", ratio(correct, predicted)},
          {"recall", ratio(correct, there)},
          {"f1", ratio(2 * correct, predicted + there)}};
}

template class Tagging<float>;
template class Tagging<bf16>;

}  // namespace polyphase
