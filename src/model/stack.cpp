// SPDX-License-Identifier: Apache-2.0
#include "model/stack.hpp"

#include <algorithm>
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
      layers_(role.chunks.own(role.first_layer, role.num_layers)),
      begin_parameter_(parameters.next()),
      relative_(parameters, tensor, model, role.prefix, !role.causal,
                role.chunks.chunks_of(role.first_layer, role.num_layers)),
      cut_(parameters) {
  const auto add_norm = [&](const std::string& name) {
    norms_.emplace_back(parameters, name + ".norm", model, true);
  };
  // A pre-norm stands in front of its sublayer in the chain, a post-norm behind it.
  const auto add = [&]<class Layer, class... Args>(const std::string& name,
                                                   std::type_identity<Layer>, Args&&... args) {
    sublayers_.push_back(std::make_unique<Layer>(parameters, tensor, model, name, args...));
    add_norm(name);
  };
  const auto place_in_chunk_of = [&](std::int64_t layer) {
    parameters.place_on({role.chunks.chunk_of(role.first_layer + layer)});
  };
  place_in_chunk_of(0);
  if (post()) add_norm(role.prefix + "embedding");
  for (std::int64_t layer = 0; layer < role.num_layers; ++layer) {
    place_in_chunk_of(layer);
    first_parameter_.push_back(parameters.next());
    const std::string name = fmt::format("{}layers.{}", role.prefix, layer);
    add(name + ".attention", std::type_identity<SelfAttention<Real>>(), relative_, role.causal);
    if (encoder != nullptr)
      add(name + ".cross_attention", std::type_identity<CrossAttention<Real>>(), *encoder);
    add(name + ".feed_forward", std::type_identity<FeedForward<Real>>());
  }
  first_parameter_.push_back(parameters.next());
  sublayers_of_layer_ = encoder != nullptr ? 3 : 2;
  keeps_attention_.resize(role.num_layers);
  keeps_residual_.resize(role.num_layers);
  if (!post()) add_norm(role.prefix + "final");
  end_parameter_ = parameters.next();
  if constexpr (std::is_same_v<Real, bf16>) {
    if (parameters.adapters().rank > 0) return;
    for (std::int64_t layer = layers_.begin; layer < layers_.end; ++layer)
      most_rounded_ = std::max(most_rounded_, parameters.count_between(first_parameter(layer),
                                                                       first_parameter(layer + 1)));
  }
}

template <class Real>
Dropout Stack<Real>::embedding_dropout(const Pass& pass) const {
  return pass.own_dropout_at(first_place_, pass.dropout.embedding);
}

template <class Real>
std::vector<std::int64_t> Stack<Real>::chain(const Pass& pass) const {
  std::vector<std::int64_t> links;
  for (std::int64_t s = layers_.begin * sublayers_of_layer_ + 1;
       s <= layers_.end * sublayers_of_layer_; ++s) {
    const auto layer = static_cast<std::uint64_t>((s - 1) / sublayers_of_layer_);
    if (!pass.skips_layer(first_place_ + kLayerPlaces + layer)) links.push_back(s);
  }
  return links;
}

template <class Real>
NormLayer<Real>& Stack<Real>::norm(std::size_t i) {
  if (post()) {
    if (i == 0) return layers_.has_first() ? norms_[0] : cut_;
    return norms_[chain_[i - 1]];
  }
  if (i < chain_.size()) return norms_[chain_[i] - 1];
  return layers_.has_last() ? norms_.back() : cut_;
}

template <class Real>
Dropout Stack<Real>::update_dropout(const Pass& pass, std::int64_t s) const {
  return pass.own_dropout_at(first_place_ + static_cast<std::uint64_t>(s), pass.dropout.hidden);
}

template <class Real>
auto Stack<Real>::part_of(const Pass& pass, std::size_t link) const -> Part {
  const auto size = static_cast<std::size_t>(sublayers_of_layer_);
  const std::size_t in_front = (link - 1) / size * size;  // links of layers below
  switch (pass.training ? pass.recompute : recipe::Recompute::kFull) {
    case recipe::Recompute::kFull:
      return {.first = in_front + 1, .last = in_front + size, .kept = false};
    case recipe::Recompute::kSelective:  // the feed-forward layer is a layer's last link
      return {.first = link, .last = link, .kept = link != in_front + size};
    case recipe::Recompute::kNone:
      break;
  }
  return {.first = link, .last = link};
}

template <class Real>
std::optional<RoundedValues> Stack<Real>::rounded(const Pass& pass, std::int64_t layer) {
  if (rounded_.extent(0) == 0) return std::nullopt;
  const std::size_t first = first_parameter(layer), end = first_parameter(layer + 1);
  if (layer != rounded_layer_) {
    const Tensor1<const float> values = parameters_.values_between(first, end);
    convert<bf16, float>(pass.exec, Tensor1<bf16>(rounded_.data(), values.extent(0)), values);
    rounded_layer_ = layer;
  }
  return std::optional<RoundedValues>(std::in_place, parameters_, first, end, rounded_.data());
}

template <class Real>
Tensor2<float> Stack<Real>::reserve_norm(const Pass& pass, std::size_t i, Tensor2<float> sum_NC) {
  if (sum_NC.size() == 0)
    sum_NC = pass.exec.arena->template take2<float>(pass.own().size, model_.width);
  norm(i).reserve(pass, sum_NC);
  return sum_NC;
}

template <class Real>
void Stack<Real>::run_sublayer(const Pass& pass, std::size_t i, Tensor2<float> update_NC) {
  const std::int64_t s = chain_[i - 1];
  const auto scope = rounded(pass, layer_of(i));
  sublayer(s).forward(pass, update_NC, y_NC_,
                      first_place_ + kInsidePlaces + static_cast<std::uint64_t>(s));
}

template <class Real>
void Stack<Real>::run_link(const Pass& pass, std::size_t i, Tensor2<float> update_NC) {
  const std::int64_t s = chain_[i - 1];
  pass.poll_links();
  run_sublayer(pass, i, update_NC);
  pass.sum_own_rows(update_NC);
  norm(i).forward(pass, pass.own_rows(y_NC_), y_float_NC_,
                  {.residual_NC = post() ? y_float_NC_ : norm(i - 1).sum(),
                   .update_NC = pass.own_rows(update_NC),
                   .bias_C = sublayer(s).output().bias(),
                   .dropout = update_dropout(pass, s)});
  if (i < chain_.size() || layers_.has_last()) pass.gather_own_rows(y_NC_);
}

template <class Real>
Tensor2<const Real> Stack<Real>::forward(const Pass& pass) {
  Arena& arena = *pass.exec.arena;
  pass_ = &pass;
  chain_ = chain(pass);
  first_byte_ = arena.used_bytes();
  const std::int64_t n = pass.num_rows, c = model_.width;
  y_NC_ = arena.take2<Real>(n, c);
  y_float_NC_ = {};
  if (post()) {
    if constexpr (std::is_same_v<Real, float>) {
      y_float_NC_ = pass.own_rows(y_NC_);
    } else {
      y_float_NC_ = arena.take2<float>(pass.own().size, c);
    }
  }
  update_NC_ = arena.take2<float>(n, c);
  const bool rounds = pass.kept_weights == nullptr && pass.links == nullptr;
  rounded_ = arena.take1<bf16>(rounds ? most_rounded_ : 0);
  rounded_layer_ = -1;
  relative_.begin(pass);

  const bool embeds = layers_.has_first();
  const Tensor2<float> embedded_NC = pass.own_rows(update_NC_);
  if (embeds) {
    embedding_.forward(pass, update_NC_);
    pass.sum_own_rows(update_NC_);
  } else {
    pass.receive(Pass::kBefore, embedded_NC);
  }
  const Tensor2<Real> y_own_NC = pass.own_rows(y_NC_);
  if (embeds && !post()) dropout_apply<float>(pass.exec, embedded_NC, embedding_dropout(pass));
  Tensor2<float> sum_NC = reserve_norm(pass, 0), free_NC;  // free: memory for the next one
  norm(0).forward(pass, y_own_NC, y_float_NC_, {.residual_NC = embedded_NC});
  if (embeds && post()) {
    dropout_apply<Real>(pass.exec, y_own_NC, embedding_dropout(pass));
    if constexpr (!std::is_same_v<Real, float>)
      dropout_apply<float>(pass.exec, y_float_NC_, embedding_dropout(pass));
  }
  pass.gather_own_rows(y_NC_);
  StackLesson<Real>* const lesson = pass.training ? lesson_ : nullptr;
  if (lesson != nullptr) {
    lesson->begin(pass);
    lesson->hear_hidden(pass, layers_.begin - 1);
  }
  kept_end_.assign(chain_.size() + 1, 0);
  for (std::size_t i = 1; i <= chain_.size();) {
    const Part part = part_of(pass, i);
    const std::int64_t layer = layer_of(i);
    const Tensor2<float> next_NC = reserve_norm(pass, part.last, free_NC);
    if (!pass.training && keeps_attention_[layer]) self_attention(layer).reserve(pass);
    const std::size_t mark = arena.used_bytes();
    for (; i <= part.last; ++i) {
      if (i < part.last) reserve_norm(pass, i);
      run_link(pass, i, update_NC_);
      if (lesson == nullptr) continue;
      if (is_attention(i)) lesson->hear_attention(pass, layer_of(i));
      if (ends_layer(i) && i < chain_.size()) lesson->hear_hidden(pass, layer_of(i));
    }
    if (!part.kept) arena.release(mark);
    const bool keeps = pass.training || (layer > 0 && keeps_residual_[layer - 1]);
    free_NC = keeps ? Tensor2<float>() : sum_NC;
    sum_NC = next_NC;
    kept_end_[part.last] = arena.used_bytes();
  }
  if (lesson != nullptr) lesson->hear_hidden(pass, layers_.end - 1);
  if (!layers_.has_last()) pass.send(Pass::kBehind, residual());
  return y_NC_;
}

template <class Real>
DoneAttention<Real> Stack<Real>::done_attention(std::int64_t layer) const {
  return self_attention(layer).done(*pass_);
}

template <class Real>
void Stack<Real>::teach_attention(std::int64_t layer, const DoneAttention<Real>& teacher,
                                  float scale) {
  self_attention(layer).learn_from(teacher, scale);
}

template <class Real>
Tensor2<const float> Stack<Real>::residual_behind(const Pass& pass, std::int64_t layer) {
  const std::int64_t own = (layers_.end - layers_.begin) * sublayers_of_layer_;
  POLYPHASE_PROMISE(std::ssize(chain_) == own && layers_.has(layer + 1),
                    "what is behind layer {} is not kept in {} of {} sublayers from layer {} on",
                    layer, chain_.size(), own, layers_.begin);
  const auto link = static_cast<std::size_t>((layer + 1 - layers_.begin) * sublayers_of_layer_);
  if (!post()) return norm(link).sum();
  const auto again_NC = pass.exec.arena->take2<float>(pass.own().size, model_.width);
  norm(link).again(pass, again_NC);
  return again_NC;
}

template <class Real>
template <class Out>
void Stack<Real>::input_again(const Pass& pass, std::size_t i, Tensor2<Out> y_NC) {
  norm(i - 1).again(pass, y_NC);
  if (post() && i == 1 && layers_.has_first())
    dropout_apply<Out>(pass.exec, y_NC, embedding_dropout(pass));
}

template <class Real>
void Stack<Real>::run_again(const Pass& pass, const Part& part, Tensor2<float> update_NC) {
  input_again(pass, part.first, pass.own_rows(y_NC_));
  pass.gather_own_rows(y_NC_);
  if constexpr (!std::is_same_v<Real, float>) {
    if (post() && part.first < part.last) input_again(pass, part.first, y_float_NC_);
  }
  for (std::size_t i = part.first; i < part.last; ++i) {
    reserve_norm(pass, i);
    run_link(pass, i, update_NC);
  }
  run_sublayer(pass, part.last, {});
}

template <class Real>
void Stack<Real>::end_layers(std::size_t first, std::size_t& final, const FinalFrom& final_from) {
  for (auto begin = first_parameter_.rbegin(); begin != first_parameter_.rend(); ++begin) {
    if (*begin > final || *begin < first) continue;
    parameters_.write_zeros(*begin, final);  // of a layer passed over
    final = *begin;
    final_from(final);
  }
}

template <class Real>
void Stack<Real>::backward(const Pass& pass, Tensor2<float> dhidden_NC,
                           const FinalFrom& final_from) {
  Arena& arena = *pass.exec.arena;
  // Whatever feeds this stack, or this chunk of it, was declared before it. So stages agree on who
  // waits for a gradient.
  const std::size_t begin = first_parameter(layers_.begin);
  std::size_t final = first_parameter(layers_.end);
  const std::size_t end = layers_.has_last() ? end_parameter_ : final;
  if (!parameters_.any_trained(0, end)) {
    arena.release(first_byte_);
    return parameters_.skip_gradients(0, end);
  }
  // Of the output of the norm whose turn it is, which takes its own rows of it.
  const Tensor2<float> dy_NC = dhidden_NC, dy_own_NC = pass.own_rows(dy_NC);
  if (!layers_.has_last()) pass.receive(Pass::kBehind, dy_own_NC, Pass::Subject::kRowGradients);
  Tensor2<float> dsum_NC;  // of the norm before: what arrives along the residual
  // The forward pass has no more use for its updates.
  const Tensor2<Real> dupdate_NC(reinterpret_cast<Real*>(update_NC_.data()), pass.num_rows,
                                 model_.width);
  const NormPlace place = post() ? NormPlace::kPost : NormPlace::kPre;
  if (lesson_ != nullptr) lesson_->add_hidden_gradient(pass, dy_own_NC, layers_.end - 1);
  for (std::size_t i = chain_.size(); i >= 1; --i) {
    const std::int64_t s = chain_[i - 1];
    const Linear& output = sublayer(s).output();
    pass.poll_links();
    if (lesson_ != nullptr && ends_layer(i) && i < chain_.size())
      lesson_->add_hidden_gradient(pass, dsum_NC, layer_of(i));
    const BiasGradient dbias = output.bias_gradient();
    dsum_NC = norm(i).backward(pass,
                               {.dupdate_NC = pass.own_rows(dupdate_NC),
                                .dbias_C = dbias.sum_N,
                                .bias_write = dbias.write,
                                .dy_NC = dy_own_NC,
                                .dskip_NC = dsum_NC},
                               place);
    if (s % sublayers_of_layer_ == 0) {
      end_layers(first_parameter(s / sublayers_of_layer_), final, final_from);
      if (!parameters_.any_trained(0, final)) {
        arena.release(first_byte_);
        return parameters_.skip_gradients(0, final);
      }
    }
    pass.gather_own_rows(dupdate_NC);
    const Part part = part_of(pass, i);
    // What links above kept, dsum_NC among it, has just been read for the last time.
    if (i == part.last) arena.release(kept_end_[i]);
    if (!part.kept && i == part.last) {
      run_again(pass, part, dy_NC);
    } else {
      input_again(pass, i, pass.own_rows(y_NC_));
      pass.gather_own_rows(y_NC_);
    }
    {
      const auto scope = rounded(pass, layer_of(i));
      sublayer(s).backward(pass, dy_NC, dupdate_NC, y_NC_);
    }
    pass.sum_own_rows(dy_NC);
  }
  const bool embeds = layers_.has_first();
  if (embeds && post()) {  // both gradients of norm 0's output passed its dropout
    dropout_apply<float>(pass.exec, dy_own_NC, embedding_dropout(pass));
    if (!chain_.empty()) dropout_apply<float>(pass.exec, dsum_NC, embedding_dropout(pass));
  }
  if (lesson_ != nullptr) lesson_->add_hidden_gradient(pass, dsum_NC, layers_.begin - 1);
  dsum_NC = norm(0).backward(pass, {.dy_NC = dy_own_NC, .dskip_NC = dsum_NC}, place);
  relative_.end_backward();
  end_layers(begin, final, final_from);
  if (embeds) {
    if (!post()) dropout_apply<float>(pass.exec, dsum_NC, embedding_dropout(pass));
    embedding_.backward(pass, pass.all_rows(dsum_NC, dy_NC));
  } else if (parameters_.any_trained(0, begin)) {
    pass.send(Pass::kBefore, dsum_NC, Pass::Subject::kRowGradients);
  } else {
    parameters_.skip_gradients(0, begin);
  }
  arena.release(first_byte_);
}

template class Stack<float>;
template class Stack<bf16>;

}  // namespace polyphase
