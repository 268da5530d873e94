// SPDX-License-Identifier: Apache-2.0
#include "objective/masked_language_model.hpp"

#include "kernels/activation.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/rows.hpp"

namespace polyphase {

template <class Real>
MaskedLanguageModel<Real>::MaskedLanguageModel(ParameterSet& parameters, const Communicator& tensor,
                                               const recipe::Model& model,
                                               const EmbeddingLayer& embedding,
                                               const SoftmaxLoss& loss)
    : transform_(parameters, tensor, {{"head.mlm.transform", model.width}}, {.in = model.width}),
      norm_(parameters, "head.mlm.norm", model),
      output_(parameters, model, embedding, "head.mlm",
              {.tied = model.tied_output, .has_bias = true}),
      loss_(loss),
      width_(model.width) {}

template <class Real>
auto MaskedLanguageModel<Real>::transform(const Pass& pass, Tensor2<const Real> hidden_NC)
    -> Transformed {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const auto m = static_cast<std::int64_t>(pass.batch.target_rows_M.size());
  const Transformed t = {.rows_M = upload(exec, pass.batch.target_rows_M),
                         .x_MC = arena.take2<Real>(m, width_),
                         .y_MC = arena.take2<Real>(m, width_),
                         .hidden_MC = arena.take2<float>(m, width_)};
  const auto active_MC = arena.take2<float>(m, width_);
  gather_rows<Real>(exec, t.x_MC, hidden_NC, t.rows_M);
  transform_.template forward<Real, float>(pass, t.hidden_MC, t.x_MC);
  activation_forward<float>(exec, Activation::kGelu, active_MC, t.hidden_MC);
  norm_.reserve(pass, active_MC);
  norm_.forward(pass, t.y_MC, {}, {.residual_NC = active_MC});
  return t;
}

template <class Real>
void MaskedLanguageModel<Real>::transform_backward(const Pass& pass, const Transformed& t,
                                                   Tensor2<const float> dy_MC,
                                                   Tensor2<float> dhidden_NC) {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const auto m = static_cast<std::int64_t>(t.x_MC.extent(0));
  const auto dtransformed_MC = arena.take2<Real>(m, width_);
  const auto dx_MC = arena.take2<float>(m, width_);
  const Tensor2<float> dactive_MC = norm_.backward(pass, {.dy_NC = dy_MC}, NormPlace::kPre);
  const BiasGradient dbias = transform_.bias_gradient();
  activation_backward<float>(exec, Activation::kGelu, dactive_MC, {}, dbias.sum_N, dbias.write,
                             dactive_MC, t.hidden_MC);
  convert<Real, float>(exec, flat(dtransformed_MC), flat(Tensor2<const float>(dactive_MC)));
  transform_.template backward_weight<Real>(pass, dtransformed_MC, t.x_MC);
  transform_.template backward_input<Real, float>(pass, dx_MC, dtransformed_MC);
  scatter_rows(exec, dhidden_NC, dx_MC, t.rows_M);
}

template <class Real>
SoftTargets MaskedLanguageModel<Real>::teach(const Pass& pass, Tensor2<const Real> hidden_NC) {
  return output_.teach(pass, transform(pass, hidden_NC).y_MC);
}

template <class Real>
Tally MaskedLanguageModel<Real>::run(const Pass& pass, Tensor2<const Real> hidden_NC,
                                     Tensor2<float> dhidden_NC, float gradient_scale) {
  Arena& arena = *pass.exec.arena;
  const ArenaScope scope(arena);
  const Transformed t = transform(pass, hidden_NC);
  const auto dy_MC = pass.training
                         ? arena.take2<float>(static_cast<std::int64_t>(t.x_MC.extent(0)), width_)
                         : Tensor2<float>();
  const SoftmaxOutcome outcome =
      output_.run(pass, t.y_MC, dy_MC, pass.batch.target_labels_M, gradient_scale, loss_);
  if (pass.training) transform_backward(pass, t, dy_MC, dhidden_NC);
  return tally_of(outcome);
}

template class MaskedLanguageModel<float>;
template class MaskedLanguageModel<bf16>;

}  // namespace polyphase
