// SPDX-License-Identifier: Apache-2.0
#include "objective/sequence_pair.hpp"

#include <algorithm>

#include "kernels/activation.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/rows.hpp"

namespace polyphase {

template <class Real>
SequencePair<Real>::SequencePair(ParameterSet& parameters, const Communicator& tensor,
                                 const recipe::Model& model, std::string name, OfKind kind)
    : name_(std::move(name)),
      kind_(kind),
      width_(model.width),
      pool_(parameters, tensor, {{"head." + name_ + ".pool", model.width}}, {.in = model.width}),
      head_(parameters, tensor, "head." + name_ + ".output", model.width, 2) {}

template <class Real>
std::int64_t SequencePair<Real>::num_terms(const Batch& batch) const {
  const std::vector<std::int32_t> labels_B = labels_of(batch);
  return std::count_if(labels_B.begin(), labels_B.end(),
                       [](std::int32_t label) { return label >= 0; });
}

template <class Real>
std::vector<std::int32_t> SequencePair<Real>::labels_of(const Batch& batch) const {
  std::vector<std::int32_t> labels_B = batch.sequence_labels_B;
  for (std::size_t b = 0; b < labels_B.size(); ++b)
    if (!is_of(batch, b, kind_)) labels_B[b] = -1;
  return labels_B;
}

template <class Real>
auto SequencePair<Real>::pool(const Pass& pass, Tensor2<const Real> hidden_NC) const -> Pooled {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const std::int64_t b = pass.batch.num_sequences();
  const Pooled pooled = {.rows_B = upload(exec, first_rows(pass.batch)),
                         .first_BC = arena.take2<Real>(b, width_),
                         .hidden_BC = arena.take2<Real>(b, width_),
                         .pooled_BC = arena.take2<Real>(b, width_)};
  gather_rows<Real>(exec, pooled.first_BC, hidden_NC, pooled.rows_B);
  pool_.forward<Real, Real>(pass, pooled.hidden_BC, pooled.first_BC);
  activation_forward<Real>(exec, Activation::kTanh, pooled.pooled_BC, pooled.hidden_BC);
  return pooled;
}

template <class Real>
SoftTargets SequencePair<Real>::teach(const Pass& pass, Tensor2<const Real> hidden_NC) {
  return head_.template teach<Real>(pass, pool(pass, hidden_NC).pooled_BC);
}

template <class Real>
Tally SequencePair<Real>::run(const Pass& pass, Tensor2<const Real> hidden_NC,
                              Tensor2<float> dhidden_NC, float gradient_scale) {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const ArenaScope scope(arena);
  const std::int64_t b = pass.batch.num_sequences();
  const auto [rows_B, first_BC, hidden_BC, pooled_BC] = pool(pass, hidden_NC);
  const auto dpooled_BC = arena.take2<float>(b, width_);
  const SoftmaxOutcome outcome = head_.run<Real>(pass, pooled_BC, dpooled_BC, labels_of(pass.batch),
                                                 gradient_scale, loss_, b / 2);
  if (pass.training) {
    const auto dhidden_BC = arena.take2<Real>(b, width_);
    const auto dfirst_BC = arena.take2<float>(b, width_);
    convert<Real, float>(exec, flat(dhidden_BC), flat(Tensor2<const float>(dpooled_BC)));
    const BiasGradient dbias = pool_.bias_gradient();
    activation_backward<Real>(exec, Activation::kTanh, dhidden_BC, {}, dbias.sum_N, dbias.write,
                              dhidden_BC, hidden_BC);
    pool_.backward_weight<Real>(pass, dhidden_BC, first_BC);
    pool_.backward_input<Real, float>(pass, dfirst_BC, dhidden_BC);
    scatter_rows(exec, dhidden_NC, dfirst_BC, rows_B);
  }
  return tally_of(outcome);
}

template <class Real>
std::map<std::string, double> SequencePair<Real>::metrics(const Tally& total) const {
  return {
      {"loss", mean_loss(total)},
      {"accuracy", static_cast<double>(total.counts.at(0)) / static_cast<double>(total.num_terms)}};
}

template class SequencePair<float>;
template class SequencePair<bf16>;

}  // namespace polyphase
