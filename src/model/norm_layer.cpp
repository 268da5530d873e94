// SPDX-License-Identifier: Apache-2.0
#include "model/norm_layer.hpp"

namespace polyphase {

template <class Real>
NormLayer<Real>::NormLayer(ParameterSet& parameters, const std::string& name,
                           const recipe::Model& model, bool own_rows)
    : parameters_(parameters),
      norm_{.kind = model.norm_kind == recipe::NormalisationKind::kRms ? NormKind::kRms
                                                                       : NormKind::kLayer,
            .epsilon = static_cast<float>(model.norm_epsilon)} {
  gain_ = parameters.declare({.name = name + ".gain",
                              .global_shape = {model.width},
                              .initial = Initial::kOne,
                              .decays = false,
                              .sums_own_rows = own_rows});
  if (norm_.kind == NormKind::kRms) return;
  shift_ = parameters.declare({.name = name + ".shift",
                               .global_shape = {model.width},
                               .initial = Initial::kZero,
                               .decays = false,
                               .sums_own_rows = own_rows});
}

template <class Real>
Tensor1<const float> NormLayer<Real>::gain() const {
  return gain_ ? parameters_.value1(*gain_) : Tensor1<const float>();
}

template <class Real>
Tensor1<const float> NormLayer<Real>::shift() const {
  return shift_ ? parameters_.value1(*shift_) : Tensor1<const float>();
}

template <class Real>
void NormLayer<Real>::reserve(const Pass& pass, Tensor2<float> sum_NC) {
  Arena& arena = *pass.exec.arena;
  const auto num_rows = static_cast<std::int64_t>(sum_NC.extent(0));
  sum_NC_ = sum_NC;
  mean_N_ = norm_.kind == NormKind::kLayer ? arena.take1<float>(num_rows) : Tensor1<float>();
  rstd_N_ = norm_.kind != NormKind::kNone ? arena.take1<float>(num_rows) : Tensor1<float>();
}

template <class Real>
void NormLayer<Real>::forward(const Pass& pass, Tensor2<Real> y_NC, Tensor2<float> y_float_NC,
                              const Input& input) {
  dropout_ = input.dropout;
  add_norm_forward<Real>(pass.exec, sum_NC_, y_NC, y_float_NC, mean_N_, rstd_N_, input.residual_NC,
                         input.update_NC, input.bias_C, gain(), shift(), norm_, dropout_);
}

template <class Real>
Tensor2<float> NormLayer<Real>::backward(const Pass& pass, const Gradients& g, NormPlace place) {
  const Write write = gain_ ? parameters_.gradient_write(*gain_) : g.bias_write;
  Tensor1<float> dgain_C, dshift_C;
  if (gain_) dgain_C = parameters_.gradient1(*gain_);
  if (shift_) {
    parameters_.gradient_write(*shift_);
    dshift_C = parameters_.gradient1(*shift_);
  }
  POLYPHASE_PROMISE(g.dbias_C.extent(0) == 0 || g.bias_write == write,
                    "a norm and its bias are written together");
  add_norm_backward<Real>(pass.exec, sum_NC_, g.dupdate_NC, dgain_C, dshift_C, g.dbias_C, write,
                          g.dy_NC, g.dskip_NC, place, sum_NC_, mean_N_, rstd_N_, gain(), norm_.kind,
                          dropout_);
  return sum_NC_;
}

template <class Real>
template <class Out>
void NormLayer<Real>::again(const Pass& pass, Tensor2<Out> y_NC) const {
  norm_again<Out>(pass.exec, y_NC, sum_NC_, mean_N_, rstd_N_, gain(), shift(), norm_.kind);
}

template class NormLayer<float>;
template class NormLayer<bf16>;
template void NormLayer<float>::again(const Pass&, Tensor2<float>) const;
template void NormLayer<bf16>::again(const Pass&, Tensor2<float>) const;
template void NormLayer<bf16>::again(const Pass&, Tensor2<bf16>) const;

}  // namespace polyphase
