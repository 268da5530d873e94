// SPDX-License-Identifier: Apache-2.0
#include "model/attention_layer.hpp"

#include <cmath>

#include "kernels/rows.hpp"
#include "model/initial_deviation.hpp"
#include "model/key_value_cache.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

AttentionShape shape_of(const recipe::Model& model, const Communicator& tensor, bool causal) {
  const Split heads = split_evenly(model.num_heads, tensor.rank(), tensor.size());
  const std::int64_t width = recipe::head_width_of(model);
  return {.num_heads = heads.size,
          .num_key_heads =
              split_evenly(recipe::num_key_heads_of(model), tensor.rank(), tensor.size()).size,
          .head_width = width,
          .first_head = heads.begin,
          .score_scale = model.scaled_scores ? 1.0F / std::sqrt(static_cast<float>(width)) : 1.0F,
          .causal = causal};
}

// Columns of queries, and of keys or values.
std::int64_t query_width(const recipe::Model& model) {
  return model.num_heads * recipe::head_width_of(model);
}
std::int64_t key_width(const recipe::Model& model) {
  return recipe::num_key_heads_of(model) * recipe::head_width_of(model);
}

// T5 leaves scores unscaled and starts with smaller queries instead.
double query_deviation(const recipe::Model& model) {
  const double fan_in =
      static_cast<double>(model.width) *
      (model.scaled_scores ? 1.0 : static_cast<double>(recipe::head_width_of(model)));
  return deviation_inside(model, fan_in);
}

LinearShape into_heads(const recipe::Model& model) {
  return {.in = model.width,
          .split = LinearSplit::kOutput,
          .has_bias = model.biases,
          .deviation = query_deviation(model)};
}

LinearShape out_of_heads(const recipe::Model& model) {
  return {.in = query_width(model),
          .split = LinearSplit::kInput,
          .has_bias = model.biases,
          .deviation = deviation_to_residual(model, static_cast<double>(query_width(model)))};
}

}  // namespace

template <class Real>
SelfAttention<Real>::SelfAttention(ParameterSet& parameters, const Communicator& tensor,
                                   const recipe::Model& model, const std::string& name,
                                   const RelativeTable& relative, bool causal)
    : query_key_value_(parameters, tensor,
                       {{name + ".query", query_width(model)},
                        {name + ".key", key_width(model)},
                        {name + ".value", key_width(model)}},
                       into_heads(model)),
      output_(parameters, tensor, {{name + ".output", model.width}}, out_of_heads(model)),
      relative_(relative),
      shape_(shape_of(model, tensor, causal)),
      rotary_(model) {}

// Keys and values stand behind the queries, or, in a generation, in the cache with those of the
// passes before.
template <class Real>
AttentionInput<Real> SelfAttention<Real>::input(const Pass& pass) const {
  const std::int64_t first_key = query_key_value_.first_column(1),
                     first_value = query_key_value_.first_column(2);
  const bool cached = pass.cache != nullptr;
  const Tensor2<const Real> rows = cached ? cached_rows(pass) : qkv_NQ_;
  return {.query = {qkv_NQ_, 0},
          .key = {rows, cached ? 0 : first_key},
          .value = {rows, cached ? first_value - first_key : first_value},
          .queries = pass.sequences,
          .keys = cached ? pass.cache->keys() : pass.sequences,
          .shape = shape_,
          .positions = relative_.positions()};
}

template <class Real>
Tensor2<Real> SelfAttention<Real>::cached_rows(const Pass& pass) const {
  return pass.cache->rows<Real>(place_,
                                query_key_value_.local_out() - query_key_value_.first_column(1));
}

// Queries and, behind them, keys.
template <class Real>
void SelfAttention<Real>::turn(const Pass& pass, Tensor2<Real> qkv_NQ, Direction direction) const {
  rotary_.turn(pass, qkv_NQ, shape_.num_heads + shape_.num_key_heads, shape_.head_width, direction);
}

template <class Real>
void SelfAttention<Real>::reserve(const Pass& pass) {
  Arena& arena = *pass.exec.arena;
  qkv_NQ_ = arena.take2<Real>(pass.num_rows, query_key_value_.local_out());
  log_sum_NH_ = arena.take2<float>(pass.num_rows, shape_.num_heads);
  reserved_ = true;
}

template <class Real>
void SelfAttention<Real>::learn_from(const DoneAttention<Real>& teacher, float scale) {
  teacher_.reset();
  teacher_.emplace(teacher);
  teacher_scale_ = scale;
}

template <class Real>
void SelfAttention<Real>::forward(const Pass& pass, Tensor2<float> update_NC,
                                  Tensor2<const Real> y_NC, std::uint64_t place) {
  place_ = place;
  if (!reserved_) reserve(pass);
  reserved_ = false;
  heads_NC_ = pass.exec.arena->take2<Real>(pass.num_rows, output_.local_in());
  query_key_value_.template forward<Real, Real>(pass, qkv_NQ_, y_NC);
  turn(pass, qkv_NQ_, Direction::kForward);
  if (pass.cache != nullptr) {
    store_rows<Real>(pass.exec, cached_rows(pass), pass.cache->places_N(), qkv_NQ_,
                     query_key_value_.first_column(1));
  }
  attention_forward<Real>(pass.exec, heads_NC_, log_sum_NH_, input(pass),
                          pass.dropout_at(place, pass.dropout.attention));
  if (update_NC.extent(0) == 0) return;
  output_.template forward<Real, float>(pass, update_NC, heads_NC_);
}

template <class Real>
void SelfAttention<Real>::backward(const Pass& pass, Tensor2<float> dy_NC,
                                   Tensor2<const Real> dupdate_NC, Tensor2<const Real> y_NC) {
  Arena& arena = *pass.exec.arena;
  const ArenaScope scope(arena);
  const auto dheads_NC = arena.take2<Real>(pass.num_rows, output_.local_in());
  const auto dqkv_NQ = arena.take2<Real>(pass.num_rows, query_key_value_.local_out());
  output_.template backward_weight<Real>(pass, dupdate_NC, heads_NC_);
  output_.template backward_input<Real, Real>(pass, dheads_NC, dupdate_NC);
  attention_backward<Real>(pass.exec, {dqkv_NQ, query_key_value_.first_column(0)},
                           {dqkv_NQ, query_key_value_.first_column(1)},
                           {dqkv_NQ, query_key_value_.first_column(2)}, relative_.gradient(),
                           relative_.write(), dheads_NC, heads_NC_, log_sum_NH_, input(pass),
                           pass.dropout_at(place_, pass.dropout.attention));
  if (teacher_) {
    attention_divergence_backward<Real>(pass.exec, {dqkv_NQ, query_key_value_.first_column(0)},
                                        {dqkv_NQ, query_key_value_.first_column(1)},
                                        relative_.gradient(), done(pass), *teacher_,
                                        teacher_scale_);
  }
  turn(pass, dqkv_NQ, Direction::kBackward);
  query_key_value_.template backward_weight_and_bias<Real>(pass, dqkv_NQ, y_NC);
  query_key_value_.template backward_input<Real, float>(pass, dy_NC, dqkv_NQ);
}

template <class Real>
CrossAttention<Real>::CrossAttention(ParameterSet& parameters, const Communicator& tensor,
                                     const recipe::Model& model, const std::string& name,
                                     const EncoderOutput<Real>& encoder)
    : query_(parameters, tensor, {{name + ".query", query_width(model)}}, into_heads(model)),
      key_value_(parameters, tensor,
                 {{name + ".key", key_width(model)}, {name + ".value", key_width(model)}},
                 into_heads(model)),
      output_(parameters, tensor, {{name + ".output", model.width}}, out_of_heads(model)),
      encoder_(encoder),
      shape_(shape_of(model, tensor, false)),
      rotary_(model) {}

template <class Real>
AttentionInput<Real> CrossAttention<Real>::input(const Pass& pass) const {
  return {.query = {query_NC_, 0},
          .key = {key_value_SK_, key_value_.first_column(0)},
          .value = {key_value_SK_, key_value_.first_column(1)},
          .queries = pass.sequences,
          .keys = pass.cache == nullptr ? encoder_.pass->sequences : pass.cache->source_keys(),
          .shape = shape_};
}

// In a generation the first pass makes them for all.
template <class Real>
void CrossAttention<Real>::make_keys_and_values(const Pass& pass) {
  bool fresh = true;
  key_value_SK_ =
      pass.cache == nullptr
          ? pass.exec.arena->take2<Real>(encoder_.pass->num_rows, key_value_.local_out())
          : pass.cache->source_rows<Real>(place_, key_value_.local_out(), fresh);
  if (fresh) {
    key_value_.template forward<Real, Real>(*encoder_.pass, key_value_SK_, encoder_.hidden_SC);
    rotary_.turn(*encoder_.pass, key_value_SK_, shape_.num_key_heads, shape_.head_width,
                 Direction::kForward);
  }
}

template <class Real>
void CrossAttention<Real>::forward(const Pass& pass, Tensor2<float> update_NC,
                                   Tensor2<const Real> y_NC, std::uint64_t place) {
  Arena& arena = *pass.exec.arena;
  place_ = place;
  query_NC_ = arena.take2<Real>(pass.num_rows, query_.local_out());
  heads_NC_ = arena.take2<Real>(pass.num_rows, output_.local_in());
  log_sum_NH_ = arena.take2<float>(pass.num_rows, shape_.num_heads);
  query_.template forward<Real, Real>(pass, query_NC_, y_NC);
  rotary_.turn(pass, query_NC_, shape_.num_heads, shape_.head_width, Direction::kForward);
  make_keys_and_values(pass);
  attention_forward<Real>(pass.exec, heads_NC_, log_sum_NH_, input(pass),
                          pass.dropout_at(place, pass.dropout.attention));
  if (update_NC.extent(0) == 0) return;
  output_.template forward<Real, float>(pass, update_NC, heads_NC_);
}

template <class Real>
void CrossAttention<Real>::backward(const Pass& pass, Tensor2<float> dy_NC,
                                    Tensor2<const Real> dupdate_NC, Tensor2<const Real> y_NC) {
  Arena& arena = *pass.exec.arena;
  const ArenaScope scope(arena);
  const auto dheads_NC = arena.take2<Real>(pass.num_rows, output_.local_in());
  const auto dquery_NC = arena.take2<Real>(pass.num_rows, query_.local_out());
  const auto dkey_value_SK = arena.take2<Real>(encoder_.pass->num_rows, key_value_.local_out());
  output_.template backward_weight<Real>(pass, dupdate_NC, heads_NC_);
  output_.template backward_input<Real, Real>(pass, dheads_NC, dupdate_NC);
  attention_backward<Real>(pass.exec, {dquery_NC, 0}, {dkey_value_SK, key_value_.first_column(0)},
                           {dkey_value_SK, key_value_.first_column(1)}, {}, Write::kOverwrite,
                           dheads_NC, heads_NC_, log_sum_NH_, input(pass),
                           pass.dropout_at(place_, pass.dropout.attention));
  rotary_.turn(pass, dquery_NC, shape_.num_heads, shape_.head_width, Direction::kBackward);
  rotary_.turn(*encoder_.pass, dkey_value_SK, shape_.num_key_heads, shape_.head_width,
               Direction::kBackward);
  query_.template backward_weight_and_bias<Real>(pass, dquery_NC, y_NC);
  query_.template backward_input<Real, float>(pass, dy_NC, dquery_NC);
  key_value_.template backward_weight_and_bias<Real>(pass, dkey_value_SK, encoder_.hidden_SC);
  key_value_.template backward_input<Real, float>(pass, encoder_.dhidden_SC, dkey_value_SK,
                                                  Write::kAccumulate);
}

template class SelfAttention<float>;
template class SelfAttention<bf16>;
template class CrossAttention<float>;
template class CrossAttention<bf16>;

}  // namespace polyphase
