// SPDX-License-Identifier: Apache-2.0
#include "objective/multi_label.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "metrics/classification.hpp"

namespace polyphase {
namespace {

// Counts of a tally: sequences, exact ones, then for each label: correct, predicted, there.
std::vector<std::int64_t> to_tally(const MultiLabelCounts& counts) {
  std::vector<std::int64_t> all = {counts.num_rows, counts.num_exact};
  for (std::size_t k = 0; k < counts.there_K.size(); ++k)
    all.insert(all.end(), {counts.correct_K[k], counts.predicted_K[k], counts.there_K[k]});
  return all;
}

MultiLabelCounts from_tally(const std::vector<std::int64_t>& all, std::int64_t num_labels) {
  MultiLabelCounts counts(num_labels);
  if (all.empty()) return counts;
  counts.num_rows = all[0];
  counts.num_exact = all[1];
  for (std::int64_t k = 0; k < num_labels; ++k) {
    counts.correct_K[k] = all[2 + 3 * k];
    counts.predicted_K[k] = all[3 + 3 * k];
    counts.there_K[k] = all[4 + 3 * k];
  }
  return counts;
}

// The sigmoid of a logit, without the exponential of a large number.
double probability_of(double z) {
  const double small = std::exp(-std::abs(z));
  return z < 0.0 ? small / (1.0 + small) : 1.0 / (1.0 + small);
}

// -y · log σ(z) - (1 - y) · log(1 - σ(z)), likewise.
double cross_entropy(double z, double y) {
  return std::max(z, 0.0) - y * z + std::log1p(std::exp(-std::abs(z)));
}

// A label's loss and its derivative by the logit.
struct LabelLoss {
  double nats = 0, slope = 0;
};

// weight · T² · KL(σ(t / T) ‖ σ(z / T)) of a teacher's logit t.
LabelLoss soft_loss(double z, double t, const SoftTargets& soft) {
  const double temperature = soft.temperature, taught = probability_of(t / temperature);
  const double divergence =
      cross_entropy(z / temperature, taught) - cross_entropy(t / temperature, taught);
  const double weight = soft.weight;
  return {weight * temperature * temperature * divergence,
          weight * temperature * (probability_of(z / temperature) - taught)};
}

// predicted_at(i): whether label i of all rows' is predicted.
template <class Predicted>
MultiLabelCounts count_labels(const std::vector<float>& sets_BK, std::int64_t num_labels,
                              const Predicted& predicted_at) {
  MultiLabelCounts counts(num_labels);
  std::vector<std::uint8_t> there_K(num_labels), predicted_K(num_labels);
  for (std::size_t first = 0; first < sets_BK.size(); first += num_labels) {
    for (std::int64_t k = 0; k < num_labels; ++k) {
      there_K[k] = sets_BK[first + k] >= 0.5F;
      predicted_K[k] = predicted_at(first + k);
    }
    counts.add(there_K, predicted_K);
  }
  return counts;
}

}  // namespace

template <class Real>
MultiLabel<Real>::MultiLabel(ParameterSet& parameters, const Communicator& tensor,
                             const recipe::Model& model, const recipe::Task& task,
                             std::int64_t num_labels)
    : pooling_(task.pooling, model.width),
      head_(parameters, tensor, "head.multi_label.output", pooling_.width(), num_labels,
            task.ngrams) {}

template <class Real>
Tally MultiLabel<Real>::run(const Pass& pass, Tensor2<const Real> hidden_NC,
                            Tensor2<float> dhidden_NC, float gradient_scale) {
  const ArenaScope scope(*pass.exec.arena);
  const auto pooled = pooling_.forward(pass, hidden_NC);
  const std::vector<float>& sets_BK = pass.batch.label_sets_BK;
  const std::vector<float> logits_BK = head_.forward_to_host<Real>(pass, pooled.x_BC);
  const std::vector<float> taught_BK =
      outputs_of_teacher(pass, soft_, pass.batch.num_sequences(), head_.num_outputs());
  const double hard = taught_BK.empty() ? 1.0 : 1.0 - double{soft_->weight};
  std::vector<float> gradient_BK(logits_BK.size(), 0.0F);
  Tally tally = {.num_terms = num_terms(pass.batch)};
  for (std::size_t i = 0; i < logits_BK.size() && !pass.exec.counting(); ++i) {
    const double z = logits_BK[i], y = sets_BK[i];
    const LabelLoss soft = taught_BK.empty() ? LabelLoss{} : soft_loss(z, taught_BK[i], *soft_);
    tally.nats += hard * cross_entropy(z, y) + soft.nats;
    gradient_BK[i] =
        gradient_scale * static_cast<float>(hard * (probability_of(z) - y) + soft.slope);
  }
  if (pass.training) {
    head_.backward_from_host<Real>(pass, pooled.dx_BC, gradient_BK, pooled.x_BC);
    pooling_.backward(pass, pooled, dhidden_NC);
  } else if (!pass.exec.counting()) {
    tally.counts = to_tally(count_labels(sets_BK, head_.num_outputs(),
                                         [&](std::size_t i) { return logits_BK[i] >= 0.0F; }));
  }
  return tally;
}

template <class Real>
std::vector<Prediction> MultiLabel<Real>::predict(const Pass& pass, Tensor2<const Real> hidden_NC) {
  const ArenaScope scope(*pass.exec.arena);
  const auto pooled = pooling_.forward(pass, hidden_NC);
  const std::vector<float> logits_BK = head_.forward_to_host<Real>(pass, pooled.x_BC);
  std::vector<Prediction> predictions(pass.batch.num_sequences());
  for (std::size_t i = 0; i < logits_BK.size(); ++i) {
    predictions[i / head_.num_outputs()].probabilities_K.push_back(probability_of(logits_BK[i]));
  }
  return predictions;
}

template <class Real>
Tally MultiLabel<Real>::judge(const std::vector<Prediction>& predictions,
                              const Batch& batch) const {
  Tally tally = {.num_terms = num_terms(batch)};
  std::vector<double> p_BK;
  for (const Prediction& prediction : predictions)
    p_BK.insert(p_BK.end(), prediction.probabilities_K.begin(), prediction.probabilities_K.end());
  // A probability of 1 is one that was rounded.
  constexpr double kLeast = 0.5 * std::numeric_limits<double>::epsilon();
  for (std::size_t i = 0; i < p_BK.size(); ++i) {
    const double p = batch.label_sets_BK[i] >= 0.5F ? p_BK[i] : 1.0 - p_BK[i];
    tally.nats -= std::log(std::max(p, kLeast));
  }
  tally.counts = to_tally(count_labels(batch.label_sets_BK, head_.num_outputs(),
                                       [&](std::size_t i) { return p_BK[i] >= 0.5; }));
  return tally;
}

template <class Real>
SoftTargets MultiLabel<Real>::teach(const Pass& pass, Tensor2<const Real> hidden_NC) {
  return polyphase::teach<Real>(head_, pass, pooling_.forward(pass, hidden_NC).x_BC);
}

template <class Real>
std::map<std::string, double> MultiLabel<Real>::metrics(const Tally& total) const {
  const MultiLabelCounts counts = from_tally(total.counts, head_.num_outputs());
  return {{"loss", mean_loss(total)},
          {"f1", micro_score(counts).f1},
          {"macro_f1", macro_score(counts).f1},
          {"accuracy", subset_accuracy(counts)}};
}

template class MultiLabel<float>;
template class MultiLabel<bf16>;

}  // namespace polyphase
