// SPDX-License-Identifier: Apache-2.0
#include "objective/regression.hpp"

#include "metrics/correlation.hpp"

namespace polyphase {

template <class Real>
Regression<Real>::Regression(ParameterSet& parameters, const Communicator& tensor,
                             const recipe::Model& model, const recipe::Task& task)
    : pooling_(task.pooling, model.width),
      head_(parameters, tensor, "head.regression.output", pooling_.width(), 1, task.ngrams) {}

template <class Real>
Tally Regression<Real>::run(const Pass& pass, Tensor2<const Real> hidden_NC,
                            Tensor2<float> dhidden_NC, float gradient_scale) {
  const ArenaScope scope(*pass.exec.arena);
  const auto pooled = pooling_.forward(pass, hidden_NC);
  const std::vector<float>& values_B = pass.batch.sequence_values_B;
  const std::vector<float> predicted_B = head_.forward_to_host<Real>(pass, pooled.x_BC);
  const std::vector<float> taught_B =
      outputs_of_teacher(pass, soft_, pass.batch.num_sequences(), 1);
  const double soft = taught_B.empty() ? 0.0 : soft_->weight;
  std::vector<float> gradient_B(predicted_B.size(), 0.0F);
  Tally tally = {.num_terms = pass.batch.num_sequences()};
  for (std::size_t s = 0; s < predicted_B.size() && !pass.exec.counting(); ++s) {
    const double difference = double{predicted_B[s]} - double{values_B[s]};
    const double from_teacher =
        taught_B.empty() ? 0.0 : double{predicted_B[s]} - double{taught_B[s]};
    tally.nats += (1.0 - soft) * difference * difference + soft * from_teacher * from_teacher;
    gradient_B[s] = gradient_scale *
                    static_cast<float>(2.0 * ((1.0 - soft) * difference + soft * from_teacher));
    if (pass.training) continue;
    tally.records.push_back(values_B[s]);
    tally.records.push_back(predicted_B[s]);
  }
  if (pass.training) {
    head_.backward_from_host<Real>(pass, pooled.dx_BC, gradient_B, pooled.x_BC);
    pooling_.backward(pass, pooled, dhidden_NC);
  }
  return tally;
}

template <class Real>
std::vector<Prediction> Regression<Real>::predict(const Pass& pass, Tensor2<const Real> hidden_NC) {
  const ArenaScope scope(*pass.exec.arena);
  const auto pooled = pooling_.forward(pass, hidden_NC);
  std::vector<Prediction> predictions;
  for (const float value : head_.forward_to_host<Real>(pass, pooled.x_BC))
    predictions.push_back({.value = value});
  return predictions;
}

template <class Real>
Tally Regression<Real>::judge(const std::vector<Prediction>& predictions,
                              const Batch& batch) const {
  Tally tally = {.num_terms = num_terms(batch)};
  for (std::size_t s = 0; s < predictions.size(); ++s) {
    const double there = batch.sequence_values_B[s], predicted = predictions[s].value;
    tally.nats += (predicted - there) * (predicted - there);
    tally.records.insert(tally.records.end(), {there, predicted});
  }
  return tally;
}

template <class Real>
SoftTargets Regression<Real>::teach(const Pass& pass, Tensor2<const Real> hidden_NC) {
  return polyphase::teach<Real>(head_, pass, pooling_.forward(pass, hidden_NC).x_BC);
}

template <class Real>
std::map<std::string, double> Regression<Real>::metrics(const Tally& total) const {
  std::vector<double> there, predicted;
  for (std::size_t i = 0; i + 1 < total.records.size(); i += 2) {
    there.push_back(total.records[i]);
    predicted.push_back(total.records[i + 1]);
  }
  return {{"loss", mean_loss(total)},
          {"pearson", pearson_correlation(there, predicted)},
          {"spearman", spearman_correlation(there, predicted)}};
}

template class Regression<float>;
template class Regression<bf16>;

}  // namespace polyphase
