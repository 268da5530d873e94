// SPDX-License-Identifier: Apache-2.0
#include "objective/softmax.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>

#include "objective/divergence.hpp"

namespace polyphase {
namespace {

struct HostStats {
  std::vector<float> max, sum, label_logit, logit_sum;
  std::vector<std::int32_t> best;
};

// In one copy, as begin_softmax() has laid them out.
HostStats to_host(const Exec& exec, const SoftmaxStats& stats) {
  const std::size_t num_rows = stats.max_M.extent(0);
  const std::size_t num_parts = stats.logit_sum_M.extent(0) != 0 ? 5 : 4;
  const std::vector<float> all =
      download<float>(exec, Tensor1<const float>(stats.max_M.data(), num_parts * num_rows));
  const auto part = [&](std::size_t number) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(number * num_rows);
    return std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(num_rows));
  };
  HostStats host = {.max = part(0),
                    .sum = part(1),
                    .label_logit = part(2),
                    .logit_sum = num_parts == 5 ? part(4) : std::vector<float>(),
                    .best = std::vector<std::int32_t>(num_rows)};
  if (num_rows > 0)
    std::memcpy(host.best.data(), all.data() + 3 * num_rows, num_rows * sizeof(float));
  return host;
}

// Ranks hold parts of the vocabulary: bring every part's sum to the largest logit of all, then add
// up.
void combine(HostStats& stats, const Communicator& tensor) {
  const auto count = static_cast<std::int64_t>(stats.max.size());
  const std::vector<float> own_max = stats.max;
  tensor.max(stats.max.data(), count);
  std::vector<std::int64_t> candidate(stats.max.size());
  for (std::size_t m = 0; m < stats.max.size(); ++m) {
    stats.sum[m] *= std::exp(own_max[m] - stats.max[m]);
    // The lowest class among ranks that hold the largest logit: max of negated numbers.
    candidate[m] =
        own_max[m] == stats.max[m] ? -std::int64_t{stats.best[m]} : std::int64_t{-1} << 40;
  }
  tensor.sum(stats.sum.data(), count);
  tensor.sum(stats.label_logit.data(), count);
  if (!stats.logit_sum.empty()) tensor.sum(stats.logit_sum.data(), count);
  tensor.max(candidate.data(), count);
  for (std::size_t m = 0; m < candidate.size(); ++m)
    stats.best[m] = static_cast<std::int32_t>(-candidate[m]);
}

// What each row weighs; nothing when all weigh 1.
std::vector<float> row_weights(const std::vector<std::int32_t>& labels_M, const SoftmaxLoss& loss) {
  std::vector<float> weights = loss.row_weights_M;
  if (loss.class_weights.empty()) return weights;
  weights.resize(labels_M.size(), 1.0F);
  std::size_t m = 0;
  for (const std::int32_t label : labels_M) {
    const auto k = static_cast<std::size_t>(label < 0 ? 0 : label);
    POLYPHASE_PROMISE(k < loss.class_weights.size(), "class {} of {} class weights", k,
                      loss.class_weights.size());
    weights[m++] *= label < 0 ? 0.0F : loss.class_weights[k];
  }
  return weights;
}

}  // namespace

Tally tally_of(const SoftmaxOutcome& outcome) {
  return {.nats = outcome.nats,
          .num_terms = outcome.num_terms,
          .counts = {outcome.num_correct},
          .records = {},
          .divergence = outcome.divergence};
}

SoftmaxLoss loss_of(const Pass& pass, SoftmaxLoss loss) {
  if (!pass.training) loss.label_smoothing = 0.0F;
  return loss;
}

SoftmaxStats begin_softmax(const Exec& exec, std::int64_t num_rows, const SoftmaxLoss& loss) {
  static_assert(sizeof(float) == sizeof(std::int32_t));
  const bool smooth = loss.label_smoothing != 0.0F;
  const auto all = exec.arena->take2<float>(smooth ? 5 : 4, num_rows);
  const auto part = [&](std::int64_t number) {
    return Tensor1<float>(all.data() + number * num_rows, num_rows);
  };
  const SoftmaxStats stats = {
      .max_M = part(0),
      .sum_M = part(1),
      .label_logit_M = part(2),
      .best_M = Tensor1<std::int32_t>(reinterpret_cast<std::int32_t*>(part(3).data()), num_rows),
      .logit_sum_M = smooth ? part(4) : Tensor1<float>()};
  softmax_stats_begin(exec, stats);
  return stats;
}

SoftmaxOutcome finish_softmax(const Exec& exec, const SoftmaxStats& stats,
                              const std::vector<std::int32_t>& labels_M, const Communicator* tensor,
                              const SoftmaxLoss& loss, std::int64_t num_classes) {
  const bool smooth = loss.label_smoothing != 0.0F;
  POLYPHASE_PROMISE(!smooth || num_classes > 0, "labels are smoothed over {} classes", num_classes);
  SoftmaxOutcome outcome;
  HostStats host = to_host(exec, stats);
  if (tensor != nullptr && tensor->size() > 1 && !exec.counting()) combine(host, *tensor);
  const std::vector<float> weights = row_weights(labels_M, loss);
  const double share = smooth ? loss.label_smoothing / static_cast<double>(num_classes) : 0.0;
  std::vector<float> log_sum(labels_M.size());
  for (std::size_t m = 0; m < labels_M.size(); ++m) {
    log_sum[m] = host.max[m] + std::log(host.sum[m]);
    if (labels_M[m] < 0) continue;
    const double label_logit = host.label_logit[m];
    double nats = static_cast<double>(log_sum[m]) - label_logit;
    if (smooth) nats += loss.label_smoothing * label_logit - share * host.logit_sum[m];
    outcome.nats += weights.empty() ? nats : weights[m] * nats;
    ++outcome.num_terms;
    if (host.best[m] == labels_M[m]) ++outcome.num_correct;
  }
  outcome.best_M = std::move(host.best);
  outcome.target = {.label_smoothing = loss.label_smoothing, .num_classes = num_classes};
  std::tie(outcome.log_sum_M, outcome.target.row_weight_M) = upload_all(exec, log_sum, weights);
  return outcome;
}

SoftmaxHead::SoftmaxHead(ParameterSet& parameters, const Communicator& tensor,
                         const std::string& name, std::int64_t width, std::int64_t num_classes,
                         const std::optional<recipe::Ngrams>& ngrams)
    : output_(parameters, tensor, name, width, num_classes, ngrams) {}

template <class Real>
SoftmaxOutcome SoftmaxHead::run(const Pass& pass, Tensor2<const Real> x_MC, Tensor2<float> dx_MC,
                                const std::vector<std::int32_t>& labels_M, float gradient_scale,
                                const SoftmaxLoss& settings, std::int64_t num_pairs) {
  const Exec& exec = pass.exec;
  const SoftmaxLoss loss = loss_of(pass, settings);
  const auto num_rows = static_cast<std::int64_t>(x_MC.extent(0));
  const std::int64_t num_classes = output_.num_outputs();
  const Tensor2<float> logits_MK = output_.forward<Real>(pass, x_MC);
  const Tensor1<const std::int32_t> labels = upload(exec, labels_M);
  const SoftmaxStats stats = begin_softmax(exec, num_rows, loss);
  softmax_stats_add(exec, stats, logits_MK, labels, 0);
  SoftmaxOutcome outcome = finish_softmax(exec, stats, labels_M, nullptr, loss, num_classes);
  Divergence divergence(pass, nullptr, num_rows, num_pairs);
  divergence.begin(outcome.log_sum_M, labels);
  divergence.add(logits_MK);
  divergence.end(labels_M, outcome);
  if (!pass.training) return outcome;
  std::optional<SoftLoss> soft;
  if (loss.is_soft()) {
    soft.emplace(exec, loss.soft, num_rows, num_classes);
    soft->add(logits_MK, 0);
    outcome.nats = soft->hard_weight() * outcome.nats + soft->finish(labels_M, nullptr);
  }
  const float hard_scale = soft ? soft->hard_weight() * gradient_scale : gradient_scale;
  const auto dlogits_MK = exec.arena->take2<Real>(num_rows, num_classes);
  softmax_gradient<Real>(exec, dlogits_MK, logits_MK, outcome.log_sum_M, labels,
                         divergence.share(hard_scale), 0, outcome.target);
  divergence.add_gradient<Real>(dlogits_MK, logits_MK, gradient_scale);
  if (soft) soft->add_gradient<Real>(dlogits_MK, logits_MK, labels, 0, gradient_scale);
  output_.backward<Real>(pass, dx_MC, dlogits_MK, x_MC);
  return outcome;
}

template <class Real>
SoftTargets SoftmaxHead::teach(const Pass& pass, Tensor2<const Real> x_MC) const {
  return {.logits = [this, &pass, x_MC](Tensor2<float> logits_MK, std::int64_t) {
    output_.forward<Real>(pass, logits_MK, x_MC);
  }};
}

template <class Real>
std::vector<double> SoftmaxHead::probabilities(const Pass& pass, Tensor2<const Real> x_MC) const {
  const std::vector<float> logits_MK = output_.forward_to_host<Real>(pass, x_MC);
  const std::int64_t num_classes = output_.num_outputs();
  std::vector<double> result_MK(logits_MK.begin(), logits_MK.end());
  for (auto row = result_MK.begin(); row != result_MK.end(); row += num_classes) {
    const auto end = row + num_classes;
    const double largest = *std::max_element(row, end);
    std::transform(row, end, row, [=](double logit) { return std::exp(logit - largest); });
    const double sum = std::accumulate(row, end, 0.0);
    std::transform(row, end, row, [=](double share) { return share / sum; });
  }
  return result_MK;
}

template SoftTargets SoftmaxHead::teach(const Pass&, Tensor2<const float>) const;
template SoftTargets SoftmaxHead::teach(const Pass&, Tensor2<const bf16>) const;
template std::vector<double> SoftmaxHead::probabilities(const Pass&, Tensor2<const float>) const;
template std::vector<double> SoftmaxHead::probabilities(const Pass&, Tensor2<const bf16>) const;
template SoftmaxOutcome SoftmaxHead::run(const Pass&, Tensor2<const float>, Tensor2<float>,
                                         const std::vector<std::int32_t>&, float,
                                         const SoftmaxLoss&, std::int64_t);
template SoftmaxOutcome SoftmaxHead::run(const Pass&, Tensor2<const bf16>, Tensor2<float>,
                                         const std::vector<std::int32_t>&, float,
                                         const SoftmaxLoss&, std::int64_t);

}  // namespace polyphase
