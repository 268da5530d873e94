// SPDX-License-Identifier: Apache-2.0
#include "model/stack.hpp"

#include <array>
#include <type_traits>

#include "kernels/elementwise.hpp"
#include "model/feed_forward.hpp"

namespace polyphase {
namespace {

// Places of a stack that draw dropout: the embeddings at 0, the update of sublayer s at place s,
// and what is inside of sublayer s behind these; last, whether a layer is passed over.
constexpr std::uint64_t kInsidePlaces = std::uint64_t{1} << 20;
constexpr std::uint64_t kLayerPlaces = std::uint64_t{1} << 21;

}  // namespace

template <class Real>
Stack<Real>::Stack(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
                   const EmbeddingLayer& embedding, const StackRole& role,
                   const EncoderOutput<Real>* encoder)
    : parameters_(parameters),
      model_(model),
      embedding_(embedding),
      first_place_(role.first_place),
      relative_(parameters, tensor, model, role.prefix, !role.causal) {
  const auto add_norm = [&](const std::string& name) {
    norms_.emplace_back(parameters, name + ".norm", model);
  };
  // A pre-norm stands in front of its sublayer in the chain, a post-norm behind it.
  const auto add = [&]<class Layer, class... Args>(const std::string& name,
                                                   std::type_identity<Layer>, Args&&... args) {
    sublayers_.push_back(std::make_unique<Layer>(parameters, tensor, model, name, args...));
    add_norm(name);
  };
  if (post()) add_norm(role.prefix + "embedding");
  for (std::int64_t layer = 0; layer < role.num_layers; ++layer) {
    first_parameter_.push_back(parameters.all().size());
    const std::string name = fmt::format("{}layers.{}", role.prefix, layer);
    add(name + ".attention", std::type_identity<SelfAttention<Real>>(), relative_, role.causal);
    if (encoder != nullptr)
      add(name + ".cross_attention", std::type_identity<CrossAttention<Real>>(), *encoder);
    add(name + ".feed_forward", std::type_identity<FeedForward<Real>>());
  }
  first_parameter_.push_back(parameters.all().size());
  sublayers_of_layer_ = encoder != nullptr ? 3 : 2;
  if (!post()) add_norm(role.prefix + "final");
}

template <class Real>
Dropout Stack<Real>::embedding_dropout(const Pass& pass) const {
  return pass.dropout_at(first_place_, pass.dropout.embedding);
}

template <class Real>
std::vector<std::int64_t> Stack<Real>::chain(const Pass& pass) const {
  std::vector<std::int64_t> links;
  for (std::int64_t s = 1; s <= num_sublayers(); ++s) {
    const auto layer = static_cast<std::uint64_t>((s - 1) / sublayers_of_layer_);
    if (!pass.skips_layer(first_place_ + kLayerPlaces + layer)) links.push_back(s);
  }
  return links;
}

template <class Real>
NormLayer<Real>& Stack<Real>::norm(std::size_t i) {
  if (post()) return norms_[i == 0 ? 0 : chain_[i - 1]];
  return i < chain_.size() ? norms_[chain_[i] - 1] : norms_.back();
}

template <class Real>
void Stack<Real>::write_zeros_of_skipped_layers(const Pass& pass) {
  for (std::size_t layer = 0; layer + 1 < first_parameter_.size(); ++layer) {
    if (pass.skips_layer(first_place_ + kLayerPlaces + layer))
      parameters_.write_zeros(first_parameter_[layer], first_parameter_[layer + 1]);
  }
}

template <class Real>
Dropout Stack<Real>::update_dropout(const Pass& pass, std::int64_t s) const {
  return pass.dropout_at(first_place_ + static_cast<std::uint64_t>(s), pass.dropout.hidden);
}

template <class Real>
Tensor2<const Real> Stack<Real>::forward(const Pass& pass) {
  Arena& arena = *pass.exec.arena;
  chain_ = chain(pass);
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

  embedding_.forward(pass, residual_NC);
  if (!post()) dropout_apply<float>(pass.exec, residual_NC, embedding_dropout(pass));
  residual_NC = norm(0).forward(pass, y_NC[0], y_float_NC[0], {.residual_NC = residual_NC});
  if (post()) {
    dropout_apply<Real>(pass.exec, y_NC[0], embedding_dropout(pass));
    if constexpr (!std::is_same_v<Real, float>)
      dropout_apply<float>(pass.exec, y_float_NC[0], embedding_dropout(pass));
    residual_NC = y_float_NC[0];
  }
  for (std::size_t i = 1; i <= chain_.size(); ++i) {
    const std::int64_t s = chain_[i - 1];
    sublayer(s).forward(pass, update_NC, y_NC[(i - 1) % 2],
                        first_place_ + kInsidePlaces + static_cast<std::uint64_t>(s));
    pass.sum_over_tensor_ranks(update_NC);
    residual_NC = norm(i).forward(pass, y_NC[i % 2], y_float_NC[i % 2],
                                  {.residual_NC = residual_NC,
                                   .update_NC = update_NC,
                                   .bias_C = sublayer(s).output().bias(),
                                   .dropout = update_dropout(pass, s)});
    if (post()) residual_NC = y_float_NC[i % 2];
  }
  return y_NC[chain_.size() % 2];
}

template <class Real>
void Stack<Real>::backward(const Pass& pass, Tensor2<const float> dhidden_NC,
                           const FinalFrom& final_from) {
  Arena& arena = *pass.exec.arena;
  const ArenaScope scope(arena);
  const std::int64_t n = pass.num_rows, c = model_.width;
  const auto dsum_NC = arena.take2<float>(n, c), dy_NC = arena.take2<float>(n, c);
  const auto dupdate_NC = arena.take2<Real>(n, c), y_NC = arena.take2<Real>(n, c);
  const NormPlace place = post() ? NormPlace::kPost : NormPlace::kPre;
  write_zeros_of_skipped_layers(pass);

  Tensor2<const float> arriving_NC = dhidden_NC, skip_NC;
  for (std::size_t i = chain_.size(); i >= 1; --i) {
    const std::int64_t s = chain_[i - 1];
    const Linear& output = sublayer(s).output();
    norm(i).backward(pass,
                     {.dsum_NC = dsum_NC,
                      .dupdate_NC = dupdate_NC,
                      .dbias_C = output.bias_gradient(),
                      .bias_write = output.bias_write(),
                      .dy_NC = arriving_NC,
                      .dskip_NC = skip_NC},
                     place);
    if (s % sublayers_of_layer_ == 0) {
      const std::size_t behind = first_parameter_[s / sublayers_of_layer_];
      final_from(behind);
      // Whatever feeds this stack was declared before it.
      if (!parameters_.any_trained(0, behind)) return parameters_.skip_gradients(0, behind);
    }
    norm(i - 1).again(pass, y_NC);
    if (post() && i == 1) dropout_apply<Real>(pass.exec, y_NC, embedding_dropout(pass));
    sublayer(s).backward(pass, dy_NC, dupdate_NC, y_NC);
    pass.sum_over_tensor_ranks(dy_NC);
    arriving_NC = dy_NC;
    skip_NC = dsum_NC;
  }
  if (post() && chain_.empty()) {  // no sublayer has made the gradient's own copy
    convert<float, float>(pass.exec, flat(dy_NC), flat(dhidden_NC));
    arriving_NC = dy_NC;
  }
  if (post()) {  // both gradients of norm 0's output passed its dropout
    dropout_apply<float>(pass.exec, dy_NC, embedding_dropout(pass));
    if (!chain_.empty()) dropout_apply<float>(pass.exec, dsum_NC, embedding_dropout(pass));
  }
  norm(0).backward(pass, {.dsum_NC = dsum_NC, .dy_NC = arriving_NC, .dskip_NC = skip_NC}, place);
  relative_.end_backward();
  final_from(first_parameter_[0]);
  if (!post()) dropout_apply<float>(pass.exec, dsum_NC, embedding_dropout(pass));
  embedding_.backward(pass, dsum_NC);
}

template class Stack<float>;
template class Stack<bf16>;

}  // namespace polyphase
