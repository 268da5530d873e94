// SPDX-License-Identifier: Apache-2.0
#include "objective/classification.hpp"

#include <algorithm>

#include "kernels/rows.hpp"

namespace polyphase {
namespace {

constexpr std::uint64_t kHeadPlace = std::uint64_t{1} << 30;

// F1 from counts; 0 where nothing was there and nothing predicted.
double f1(std::int64_t correct, std::int64_t predicted, std::int64_t there) {
  return predicted + there == 0
             ? 0.0
             : 2.0 * static_cast<double>(correct) / static_cast<double>(predicted + there);
}

}  // namespace

template <class Real>
Classification<Real>::Classification(ParameterSet& parameters, const Communicator& tensor,
                                     const recipe::Model& model, recipe::Pooling pooling,
                                     std::int64_t num_classes, SoftmaxLoss loss)
    : pooling_(pooling),
      width_(model.width),
      num_classes_(num_classes),
      head_(parameters, tensor, "head.classification.output", model.width, num_classes),
      loss_(std::move(loss)) {}

template <class Real>
Tally Classification<Real>::run(const Pass& pass, Tensor2<const Real> hidden_NC,
                                Tensor2<float> dhidden_NC, float gradient_scale) {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const ArenaScope scope(arena);
  const std::int64_t b = pass.batch.num_sequences();
  const bool mean = pooling_ == recipe::Pooling::kMean;
  const Tensor1<const std::int32_t> first_B = upload(exec, first_rows(pass.batch));
  const auto pooled_BC = arena.take2<Real>(b, width_);
  const auto dpooled_BC = arena.take2<float>(b, width_);
  if (mean) {
    mean_rows<Real>(exec, pooled_BC, hidden_NC, pass.sequences.starts);
  } else {
    gather_rows<Real>(exec, pooled_BC, hidden_NC, first_B);
  }
  Dropout dropout = pass.dropout_at(kHeadPlace, pass.dropout.hidden);
  std::vector<std::uint64_t> ids_B;  // a sequence is keyed by its first row
  for (std::int64_t s = 0; s < b; ++s) ids_B.push_back(pass.batch.row_ids_N[pass.batch.starts[s]]);
  dropout.row_ids_N = upload(exec, ids_B);
  dropout_apply<Real>(exec, pooled_BC, dropout);

  const std::vector<std::int32_t>& labels_B = pass.batch.sequence_labels_B;
  const SoftmaxOutcome outcome =
      head_.run<Real>(pass, pooled_BC, dpooled_BC, labels_B, gradient_scale, loss_);
  if (pass.training) {
    dropout_apply<float>(exec, dpooled_BC, dropout);
    if (mean) {
      mean_rows_backward(exec, dhidden_NC, dpooled_BC, pass.sequences.starts);
    } else {
      scatter_rows(exec, dhidden_NC, dpooled_BC, first_B);
    }
  }
  // Counts: correct, then for each class: correct, predicted, there.
  Tally tally = {
      .nats = outcome.nats, .num_terms = outcome.num_terms, .counts = {outcome.num_correct}};
  tally.counts.resize(static_cast<std::size_t>(1 + 3 * num_classes_));
  if (exec.counting()) return tally;
  for (std::size_t s = 0; s < labels_B.size(); ++s) {
    const std::int32_t label = labels_B[s], best = outcome.best_M[s];
    if (label < 0) continue;
    if (label == best) ++tally.counts[1 + 3 * label];
    ++tally.counts[2 + 3 * best];
    ++tally.counts[3 + 3 * label];
  }
  return tally;
}

template <class Real>
std::map<std::string, double> Classification<Real>::metrics(const Tally& total) const {
  double sum_f1 = 0;
  for (std::int64_t k = 0; k < num_classes_; ++k) {
    sum_f1 += f1(total.counts[1 + 3 * k], total.counts[2 + 3 * k], total.counts[3 + 3 * k]);
  }
  return {{"loss", mean_loss(total)},
          {"accuracy", static_cast<double>(total.counts[0]) / static_cast<double>(total.num_terms)},
          {"f1", sum_f1 / static_cast<double>(num_classes_)}};
}

template class Classification<float>;
template class Classification<bf16>;

}  // namespace polyphase
