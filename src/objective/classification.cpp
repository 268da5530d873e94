// SPDX-License-Identifier: Apache-2.0
#include "objective/classification.hpp"

#include "metrics/classification.hpp"

namespace polyphase {

template <class Real>
Classification<Real>::Classification(ParameterSet& parameters, const Communicator& tensor,
                                     const recipe::Model& model, recipe::Pooling pooling,
                                     std::int64_t num_classes, SoftmaxLoss loss)
    : pooling_(pooling, model.width),
      num_classes_(num_classes),
      head_(parameters, tensor, "head.classification.output", model.width, num_classes),
      loss_(std::move(loss)) {}

template <class Real>
Tally Classification<Real>::run(const Pass& pass, Tensor2<const Real> hidden_NC,
                                Tensor2<float> dhidden_NC, float gradient_scale) {
  const ArenaScope scope(*pass.exec.arena);
  const auto pooled = pooling_.forward(pass, hidden_NC);
  const std::vector<std::int32_t>& labels_B = pass.batch.sequence_labels_B;
  const SoftmaxOutcome outcome =
      head_.run<Real>(pass, pooled.x_BC, pooled.dx_BC, labels_B, gradient_scale, loss_);
  if (pass.training) pooling_.backward(pass, pooled, dhidden_NC);
  Tally tally = {.nats = outcome.nats, .num_terms = outcome.num_terms, .counts = {}};
  if (pass.training || pass.exec.counting()) return tally;
  ConfusionMatrix matrix(num_classes_);
  for (std::size_t s = 0; s < labels_B.size(); ++s) {
    if (labels_B[s] >= 0) matrix.add(labels_B[s], outcome.best_M[s]);
  }
  tally.counts = std::move(matrix.counts_KK);
  return tally;
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
