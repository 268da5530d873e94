// SPDX-License-Identifier: Apache-2.0
#include "objective/language_model.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/elementwise.hpp"
#include "kernels/rows.hpp"

namespace polyphase {

TargetRows targets_of(const Batch& batch, OfKind kind) {
  if (!kind || batch.kinds_B.empty()) return {batch.target_rows_M, batch.target_labels_M};
  TargetRows targets;
  for (std::size_t m = 0; m < batch.target_rows_M.size(); ++m) {
    const std::int32_t row = batch.target_rows_M[m];
    if (row < 0) continue;
    const auto behind = std::upper_bound(batch.starts.begin(), batch.starts.end(), row);
    if (!is_of(batch, static_cast<std::size_t>(behind - batch.starts.begin()) - 1, kind)) continue;
    targets.rows_M.push_back(row);
    targets.labels_M.push_back(batch.target_labels_M[m]);
  }
  const auto count = std::max<std::int64_t>(1, static_cast<std::int64_t>(targets.rows_M.size()));
  targets.rows_M.resize(static_cast<std::size_t>(round_up(count, kTargetRowMultiple)), -1);
  targets.labels_M.resize(targets.rows_M.size(), -1);
  return targets;
}

std::int64_t num_targets(const std::vector<std::int32_t>& labels_M) {
  return std::count_if(labels_M.begin(), labels_M.end(),
                       [](std::int32_t label) { return label >= 0; });
}

std::map<std::string, double> language_model_metrics(const Tally& total) {
  return {
      {"loss", mean_loss(total)},
      {"accuracy", static_cast<double>(total.counts.at(0)) / static_cast<double>(total.num_terms)},
      {"perplexity", std::exp(mean_loss(total))}};
}

template <class Real>
LanguageModel<Real>::LanguageModel(std::shared_ptr<VocabularyOutput<Real>> output,
                                   const recipe::Model& model, std::string name, OfKind kind,
                                   const SoftmaxLoss& loss)
    : name_(std::move(name)),
      kind_(kind),
      output_(std::move(output)),
      loss_(loss),
      width_(model.width),
      input_scale_(model.family == recipe::Family::kT5 && model.tied_output
                       ? 1.0F / std::sqrt(static_cast<float>(model.width))
                       : 1.0F) {}

template <class Real>
Tensor2<Real> LanguageModel<Real>::inputs(const Pass& pass, Tensor2<const Real> hidden_NC,
                                          Tensor1<const std::int32_t> rows_M) const {
  const auto y_MC =
      pass.exec.arena->take2<Real>(static_cast<std::int64_t>(rows_M.extent(0)), width_);
  gather_rows<Real>(pass.exec, y_MC, hidden_NC, rows_M);
  if (input_scale_ != 1.0F) scale<Real>(pass.exec, flat(y_MC), input_scale_);
  return y_MC;
}

template <class Real>
Tally LanguageModel<Real>::run(const Pass& pass, Tensor2<const Real> hidden_NC,
                               Tensor2<float> dhidden_NC, float gradient_scale) {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const ArenaScope scope(arena);
  const TargetRows targets = targets_of(pass.batch, kind_);
  const Tensor1<const std::int32_t> rows_M = upload(exec, targets.rows_M);
  const Tensor2<Real> y_MC = inputs(pass, hidden_NC, rows_M);
  const auto dy_MC = pass.training
                         ? arena.take2<float>(static_cast<std::int64_t>(y_MC.extent(0)), width_)
                         : Tensor2<float>();
  const SoftmaxOutcome outcome =
      output_->run(pass, y_MC, dy_MC, targets.labels_M, gradient_scale, loss_);
  if (pass.training) {
    if (input_scale_ != 1.0F) scale<float>(exec, flat(dy_MC), input_scale_);
    scatter_rows(exec, dhidden_NC, dy_MC, rows_M);
  }
  return tally_of(outcome);
}

template <class Real>
SoftTargets LanguageModel<Real>::teach(const Pass& pass, Tensor2<const Real> hidden_NC) {
  const TargetRows targets = targets_of(pass.batch, kind_);
  return output_->teach(pass, inputs(pass, hidden_NC, upload(pass.exec, targets.rows_M)));
}

template <class Real>
void LanguageModel<Real>::logits(const Pass& pass, Tensor2<float> logits_MV,
                                 Tensor2<const Real> hidden_NC,
                                 const std::vector<std::int32_t>& rows_M) const {
  const ArenaScope scope(*pass.exec.arena);
  output_->logits(pass, logits_MV, inputs(pass, hidden_NC, upload(pass.exec, rows_M)));
}

template class LanguageModel<float>;
template class LanguageModel<bf16>;

}  // namespace polyphase
