// SPDX-License-Identifier: Apache-2.0
#include "model/sublayer.hpp"

#include <cmath>

#include "kernels/elementwise.hpp"
#include "recipe/load.hpp"

namespace polyphase {

template <class Real>
SelfAttention<Real>::SelfAttention(ParameterSet& parameters, const Communicator& tensor,
                                   const recipe::Model& model, const std::string& name)
    : query_key_value_(parameters, tensor, {name + ".query", name + ".key", name + ".value"},
                       {.in = model.width, .out = model.width, .split = LinearSplit::kOutput}),
      output_(parameters, tensor, {name + ".output"},
              {.in = model.width, .out = model.width, .split = LinearSplit::kInput}) {
  const Split heads = split_evenly(model.num_heads, tensor.rank(), tensor.size());
  shape_ = {.num_heads = heads.size,
            .num_key_heads = heads.size,
            .head_width = model.width / model.num_heads,
            .first_head = heads.begin,
            .score_scale = 1.0F / std::sqrt(static_cast<float>(model.width / model.num_heads))};
}

template <class Real>
AttentionInput<Real> SelfAttention<Real>::input(const Pass& pass) const {
  const std::int64_t width = shape_.num_heads * shape_.head_width;
  return {.query = {qkv_N3C_, 0},
          .key = {qkv_N3C_, width},
          .value = {qkv_N3C_, 2 * width},
          .queries = pass.sequences,
          .keys = pass.sequences,
          .shape = shape_};
}

template <class Real>
void SelfAttention<Real>::forward(const Pass& pass, Tensor2<float> update_NC,
                                  Tensor2<const Real> y_NC, std::uint64_t place) {
  Arena& arena = *pass.exec.arena;
  place_ = place;
  qkv_N3C_ = arena.take2<Real>(pass.num_rows, query_key_value_.local_out());
  heads_NC_ = arena.take2<Real>(pass.num_rows, output_.local_in());
  log_sum_NH_ = arena.take2<float>(pass.num_rows, shape_.num_heads);
  query_key_value_.template forward<Real, Real>(pass, qkv_N3C_, y_NC);
  attention_forward<Real>(pass.exec, heads_NC_, log_sum_NH_, input(pass),
                          pass.dropout_at(place, pass.dropout.attention));
  output_.template forward<Real, float>(pass, update_NC, heads_NC_);
}

template <class Real>
void SelfAttention<Real>::backward(const Pass& pass, Tensor2<float> dy_NC,
                                   Tensor2<const Real> dupdate_NC, Tensor2<const Real> y_NC) {
  const ArenaScope scope(*pass.exec.arena);
  Arena& arena = *pass.exec.arena;
  const auto dheads_NC = arena.take2<Real>(pass.num_rows, output_.local_in());
  const auto dqkv_N3C = arena.take2<Real>(pass.num_rows, query_key_value_.local_out());
  output_.template backward_weight<Real>(pass, dupdate_NC, heads_NC_);
  output_.template backward_input<Real, Real>(pass, dheads_NC, dupdate_NC);
  const std::int64_t width = shape_.num_heads * shape_.head_width;
  attention_backward<Real>(pass.exec, {dqkv_N3C, 0}, {dqkv_N3C, width}, {dqkv_N3C, 2 * width}, {},
                           Write::kOverwrite, dheads_NC, heads_NC_, log_sum_NH_, input(pass),
                           pass.dropout_at(place_, pass.dropout.attention));
  column_sum<Real>(pass.exec, query_key_value_.bias_gradient(), query_key_value_.bias_write(),
                   dqkv_N3C);
  query_key_value_.template backward_weight<Real>(pass, dqkv_N3C, y_NC);
  query_key_value_.template backward_input<Real, float>(pass, dy_NC, dqkv_N3C);
}

template <class Real>
FeedForward<Real>::FeedForward(ParameterSet& parameters, const Communicator& tensor,
                               const recipe::Model& model, const std::string& name)
    : input_(parameters, tensor, {name + ".in"},
             {.in = model.width,
              .out = recipe::feed_forward_of(model),
              .split = LinearSplit::kOutput}),
      output_(
          parameters, tensor, {name + ".out"},
          {.in = recipe::feed_forward_of(model), .out = model.width, .split = LinearSplit::kInput}),
      activation_(activation_named(model.activation)) {}

template <class Real>
void FeedForward<Real>::forward(const Pass& pass, Tensor2<float> update_NC,
                                Tensor2<const Real> y_NC) {
  Arena& arena = *pass.exec.arena;
  hidden_NF_ = arena.take2<Real>(pass.num_rows, input_.local_out());
  const ArenaScope scope(arena);
  const auto active_NF = arena.take2<Real>(pass.num_rows, input_.local_out());
  input_.template forward<Real, Real>(pass, hidden_NF_, y_NC);
  activation_forward<Real>(pass.exec, activation_, active_NF, hidden_NF_);
  output_.template forward<Real, float>(pass, update_NC, active_NF);
}

template <class Real>
void FeedForward<Real>::backward(const Pass& pass, Tensor2<float> dy_NC,
                                 Tensor2<const Real> dupdate_NC, Tensor2<const Real> y_NC) {
  Arena& arena = *pass.exec.arena;
  const ArenaScope scope(arena);
  const auto dhidden_NF = arena.take2<Real>(pass.num_rows, input_.local_out());
  const auto active_NF = arena.take2<Real>(pass.num_rows, input_.local_out());
  output_.template backward_input<Real, Real>(pass, dhidden_NF, dupdate_NC);
  activation_backward<Real>(pass.exec, activation_, dhidden_NF, active_NF, input_.bias_gradient(),
                            input_.bias_write(), dhidden_NF, hidden_NF_);
  output_.template backward_weight<Real>(pass, dupdate_NC, active_NF);
  input_.template backward_weight<Real>(pass, dhidden_NF, y_NC);
  input_.template backward_input<Real, float>(pass, dy_NC, dhidden_NF);
}

Activation activation_named(const std::string& name) {
  if (name == "gelu") return Activation::kGelu;
  if (name == "gelu_tanh") return Activation::kGeluTanh;
  if (name == "relu") return Activation::kRelu;
  POLYPHASE_PROMISE(false, "the recipe let an unknown activation {} through", name);
}

template class SelfAttention<float>;
template class SelfAttention<bf16>;
template class FeedForward<float>;
template class FeedForward<bf16>;

}  // namespace polyphase
