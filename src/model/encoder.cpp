// SPDX-License-Identifier: Apache-2.0
#include "model/encoder.hpp"

#include <array>
#include <type_traits>

namespace polyphase {
namespace {

// Places that draw dropout: the update of sublayer s at place s, the embeddings at 0, attention
// probabilities apart.
constexpr std::uint64_t kEmbeddingPlace = 0;
constexpr std::uint64_t kAttentionPlaces = std::uint64_t{1} << 20;

}  // namespace

template <class Real>
Encoder<Real>::Encoder(ParameterSet& parameters, const Communicator& tensor,
                       const recipe::Model& model, std::int64_t vocab_size)
    : model_(model), embedding_(parameters, tensor, model, vocab_size) {
  const auto add_norm = [&](const std::string& name) {
    norms_.emplace_back(parameters, name + ".norm", model.width, model.norm_epsilon);
  };
  if (post()) add_norm("embedding");
  for (std::int64_t layer = 0; layer < model.num_layers; ++layer) {
    first_parameter_.push_back(parameters.all().size());
    const std::string name = fmt::format("layers.{}", layer);
    attention_.emplace_back(parameters, tensor, model, name + ".attention");
    add_norm(name + ".attention");
    feed_forward_.emplace_back(parameters, tensor, model, name + ".feed_forward");
    add_norm(name + ".feed_forward");
  }
  first_parameter_.push_back(parameters.all().size());
  if (!post()) add_norm("final");
}

template <class Real>
const Linear& Encoder<Real>::output_of_sublayer(std::int64_t s) const {
  const auto layer = static_cast<std::size_t>((s - 1) / 2);
  return s % 2 == 1 ? attention_[layer].output() : feed_forward_[layer].output();
}

template <class Real>
void Encoder<Real>::drop_embeddings(const Pass& pass, Tensor2<Real> y_NC) const {
  dropout_apply<Real>(pass.exec, y_NC, pass.dropout_at(kEmbeddingPlace, pass.dropout.hidden));
}

template <class Real>
Tensor2<const Real> Encoder<Real>::forward(const Pass& pass) {
  Arena& arena = *pass.exec.arena;
  const std::int64_t n = pass.num_rows, c = model_.width;
  std::array<Tensor2<Real>, 2> y_NC = {arena.take2<Real>(n, c), arena.take2<Real>(n, c)};
  std::array<Tensor2<float>, 2> y_float_NC;  // the residual of a post-norm model
  if (post()) {
    if constexpr (std::is_same_v<Real, float>) {
      y_float_NC = y_NC;
    } else {
      y_float_NC = {arena.take2<float>(n, c), arena.take2<float>(n, c)};
    }
  }
  const auto update_NC = arena.take2<float>(n, c);
  Tensor2<float> residual_NC = arena.take2<float>(n, c);

  const Dropout embedding_dropout = pass.dropout_at(kEmbeddingPlace, pass.dropout.hidden);
  embedding_.forward(pass, residual_NC);
  if (!post()) dropout_apply<float>(pass.exec, residual_NC, embedding_dropout);
  residual_NC = norms_[0].forward(pass, y_NC[0], y_float_NC[0], {.residual_NC = residual_NC});
  if (post()) {
    drop_embeddings(pass, y_NC[0]);
    if constexpr (!std::is_same_v<Real, float>)
      dropout_apply<float>(pass.exec, y_float_NC[0], embedding_dropout);
    residual_NC = y_float_NC[0];
  }
  for (std::int64_t s = 1; s <= 2 * model_.num_layers; ++s) {
    const auto layer = static_cast<std::size_t>((s - 1) / 2);
    const Tensor2<Real> input_NC = y_NC[(s - 1) % 2], output_NC = y_NC[s % 2];
    if (s % 2 == 1) {
      attention_[layer].forward(pass, update_NC, input_NC,
                                kAttentionPlaces + static_cast<std::uint64_t>(s));
    } else {
      feed_forward_[layer].forward(pass, update_NC, input_NC);
    }
    pass.sum_over_tensor_ranks(update_NC);
    residual_NC = norms_[s].forward(
        pass, output_NC, y_float_NC[s % 2],
        {.residual_NC = residual_NC,
         .update_NC = update_NC,
         .bias_C = output_of_sublayer(s).bias(),
         .dropout = pass.dropout_at(static_cast<std::uint64_t>(s), pass.dropout.hidden)});
    if (post()) residual_NC = y_float_NC[s % 2];
  }
  return y_NC[0];  // the last s is even
}

template <class Real>
void Encoder<Real>::backward(const Pass& pass, Tensor2<const float> dhidden_NC,
                             const FinalFrom& final_from) {
  Arena& arena = *pass.exec.arena;
  const ArenaScope scope(arena);
  const std::int64_t n = pass.num_rows, c = model_.width;
  const auto dsum_NC = arena.take2<float>(n, c), dy_NC = arena.take2<float>(n, c);
  const auto dupdate_NC = arena.take2<Real>(n, c), y_NC = arena.take2<Real>(n, c);
  const NormPlace place = post() ? NormPlace::kPost : NormPlace::kPre;

  Tensor2<const float> arriving_NC = dhidden_NC, skip_NC;
  for (std::int64_t s = 2 * model_.num_layers; s >= 1; --s) {
    const Linear& output = output_of_sublayer(s);
    norms_[s].backward(pass,
                       {.dsum_NC = dsum_NC,
                        .dupdate_NC = dupdate_NC,
                        .dbias_C = output.bias_gradient(),
                        .bias_write = output.bias_write(),
                        .dy_NC = arriving_NC,
                        .dskip_NC = skip_NC},
                       place);
    if (s % 2 == 0) final_from(first_parameter_[s / 2]);
    norms_[s - 1].again(pass, y_NC);
    if (post() && s == 1) drop_embeddings(pass, y_NC);
    sublayer_backward(pass, s, dy_NC, dupdate_NC, y_NC);
    pass.sum_over_tensor_ranks(dy_NC);
    arriving_NC = dy_NC;
    skip_NC = dsum_NC;
  }
  const Dropout embedding_dropout = pass.dropout_at(kEmbeddingPlace, pass.dropout.hidden);
  if (post()) {  // both gradients of norm 0's output passed its dropout
    dropout_apply<float>(pass.exec, dy_NC, embedding_dropout);
    dropout_apply<float>(pass.exec, dsum_NC, embedding_dropout);
  }
  norms_[0].backward(pass, {.dsum_NC = dsum_NC, .dy_NC = arriving_NC, .dskip_NC = skip_NC}, place);
  final_from(first_parameter_[0]);
  if (!post()) dropout_apply<float>(pass.exec, dsum_NC, embedding_dropout);
  embedding_.backward(pass, dsum_NC);
}

template <class Real>
void Encoder<Real>::sublayer_backward(const Pass& pass, std::int64_t s, Tensor2<float> dy_NC,
                                      Tensor2<const Real> dupdate_NC, Tensor2<const Real> y_NC) {
  const auto layer = static_cast<std::size_t>((s - 1) / 2);
  if (s % 2 == 1) {
    attention_[layer].backward(pass, dy_NC, dupdate_NC, y_NC);
  } else {
    feed_forward_[layer].backward(pass, dy_NC, dupdate_NC, y_NC);
  }
}

template class Encoder<float>;
template class Encoder<bf16>;

}  // namespace polyphase
