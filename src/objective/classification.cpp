// SPDX-License-Identifier: Apache-2.0
#include "objective/classification.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/mix_rows.hpp"
#include "metrics/classification.hpp"

namespace polyphase {

template <class Real>
Classification<Real>::Classification(ParameterSet& parameters, const Communicator& tensor,
                                     const recipe::Model& model, const recipe::Task& task,
                                     std::int64_t num_classes, SoftmaxLoss loss, MixUp mixup)
    : pooling_(task.pooling, model.width),
      num_classes_(num_classes),
      head_(parameters, tensor, "head.classification.output", pooling_.width(), num_classes,
            task.ngrams),
      loss_(std::move(loss)),
      mixup_(mixup) {}

template <class Real>
Tally Classification<Real>::run(const Pass& pass, Tensor2<const Real> hidden_NC,
                                Tensor2<float> dhidden_NC, float gradient_scale) {
  const ArenaScope scope(*pass.exec.arena);
  const auto pooled = pooling_.forward(pass, hidden_NC);
  if (pass.training && mixup_.alpha > 0) {
    const Tally tally = run_mixed(pass, pooled, gradient_scale);
    pooling_.backward(pass, pooled, dhidden_NC);
    return tally;
  }
  const std::vector<std::int32_t>& labels_B = pass.batch.sequence_labels_B;
  const SoftmaxOutcome outcome =
      head_.run<Real>(pass, pooled.x_BC, pooled.dx_BC, labels_B, gradient_scale, loss_,
                      pass.batch.num_sequences() / 2);
  if (pass.training) pooling_.backward(pass, pooled, dhidden_NC);
  Tally tally = {.nats = outcome.nats,
                 .num_terms = outcome.num_terms,
                 .counts = {},
                 .records = {},
                 .divergence = outcome.divergence};
  if (pass.training || pass.exec.counting()) return tally;
  ConfusionMatrix matrix(num_classes_);
  for (std::size_t s = 0; s < labels_B.size(); ++s) {
    if (labels_B[s] >= 0) matrix.add(labels_B[s], outcome.best_M[s]);
  }
  tally.counts = std::move(matrix.counts_KK);
  return tally;
}

// The cross-entropy with a mixture of two labels is the same mixture of two cross-entropies: every
// mixed state stands twice, once with each label, weighed by its share.
template <class Real>
Tally Classification<Real>::run_mixed(const Pass& pass,
                                      const typename SequencePooling<Real>::Pooled& pooled,
                                      float gradient_scale) {
  const Exec& exec = pass.exec;
  const std::int64_t b = pass.batch.num_sequences();
  const auto width = static_cast<std::int64_t>(pooled.x_BC.extent(1));
  const MixedPairs pairs = draw_pairs(mixup_, pass.batch);
  const auto share_B = upload(exec, pairs.share_B);
  std::vector<std::int32_t> labels_M = pass.batch.sequence_labels_B;
  SoftmaxLoss loss = loss_;
  loss.row_weights_M = pairs.share_B;
  for (std::int64_t s = 0; s < b; ++s) {
    labels_M.push_back(labels_M[(s + pairs.shift) % b]);
    loss.row_weights_M.push_back(1.0F - pairs.share_B[s]);
  }
  const auto x_MC = exec.arena->take2<Real>(2 * b, width);
  const auto dx_MC = exec.arena->take2<float>(2 * b, width);
  mix_rows_forward<Real>(exec, x_MC, pooled.x_BC, share_B, pairs.shift);
  const SoftmaxOutcome outcome = head_.run<Real>(pass, x_MC, dx_MC, labels_M, gradient_scale, loss);
  mix_rows_backward(exec, pooled.dx_BC, dx_MC, share_B, pairs.shift);
  return {.nats = outcome.nats, .num_terms = b, .counts = {}};
}

template <class Real>
std::vector<Prediction> Classification<Real>::predict(const Pass& pass,
                                                      Tensor2<const Real> hidden_NC) {
  const ArenaScope scope(*pass.exec.arena);
  const auto pooled = pooling_.forward(pass, hidden_NC);
  const std::vector<double> p_BK = head_.template probabilities<Real>(pass, pooled.x_BC);
  std::vector<Prediction> predictions;
  for (auto row = p_BK.begin(); row != p_BK.end(); row += num_classes_)
    predictions.push_back({.probabilities_K = {row, row + num_classes_}});
  return predictions;
}

template <class Real>
Tally Classification<Real>::judge(const std::vector<Prediction>& predictions,
                                  const Batch& batch) const {
  Tally tally = {.num_terms = num_terms(batch)};
  ConfusionMatrix matrix(num_classes_);
  for (std::size_t s = 0; s < predictions.size(); ++s) {
    const std::vector<double>& p_K = predictions[s].probabilities_K;
    const std::int32_t label = batch.sequence_labels_B[s];
    if (label < 0) continue;
    const double weight = loss_.class_weights.empty() ? 1.0 : loss_.class_weights[label];
    tally.nats -= weight * std::log(p_K[label]);
    matrix.add(label, std::ranges::max_element(p_K) - p_K.begin());
  }
  tally.counts = std::move(matrix.counts_KK);
  return tally;
}

template <class Real>
SoftTargets Classification<Real>::teach(const Pass& pass, Tensor2<const Real> hidden_NC) {
  return head_.template teach<Real>(pass, pooling_.forward(pass, hidden_NC).x_BC);
}

template <class Real>
std::map<std::string, double> Classification<Real>::metrics(const Tally& total) const {
  ConfusionMatrix matrix(num_classes_);
  if (!total.counts.empty()) matrix.counts_KK = total.counts;
  return {{"loss", mean_loss(total)},
          {"accuracy", accuracy(matrix)},
          {"f1", macro_score(matrix).f1},
          {"matthews", matthews_correlation(matrix)}};
}

template class Classification<float>;
template class Classification<bf16>;

}  // namespace polyphase
