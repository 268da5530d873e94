// SPDX-License-Identifier: Apache-2.0
#include "model/embedding_layer.hpp"

#include <cmath>

#include "kernels/elementwise.hpp"

namespace polyphase {
namespace {

// First and second text; the same of tokens that both of them hold.
std::int64_t num_segments(const recipe::Model& model) {
  return model.matches ? 2 * kMatch : kMatch;
}

}  // namespace

EmbeddingLayer::EmbeddingLayer(ParameterSet& parameters, const Communicator& tensor,
                               const recipe::Model& model, std::int64_t num_token_ids,
                               const std::vector<int>& chunks)
    : parameters_(parameters),
      num_token_ids_(num_token_ids),
      max_tokens_(model.max_tokens),
      width_(model.width),
      vocabulary_(split_evenly(num_token_ids, tensor.rank(), tensor.size())),
      sinusoidal_(model.positions == recipe::Positions::kSinusoidal) {
  const bool fan_in = model.initialisation == recipe::Initialisation::kFanIn;
  parameters.place_on(chunks);
  token_ = parameters.declare({.name = "embedding.token.weight",
                               .global_shape = {num_token_ids, model.width},
                               .split_dimension = 0,
                               .split = vocabulary_,
                               .deviation = fan_in ? 1.0 : 0.0});
  if (model.positions == recipe::Positions::kLearned) {
    position_ = parameters.declare(
        {.name = "embedding.position.weight", .global_shape = {model.max_tokens, model.width}});
  }
  if (model.segments) {
    segment_ = parameters.declare(
        {.name = "embedding.segment.weight", .global_shape = {num_segments(model), model.width}});
  }
}

void EmbeddingLayer::forward(const Pass& pass, Tensor2<float> x_NC) const {
  embedding_forward(pass.exec, x_NC, Write::kOverwrite, pass.tokens_N, parameters_.value2(token_),
                    vocabulary_.begin);
  // The sum over the ranks must hold the other tables once.
  if (pass.tensor.rank() == 0) {
    const auto add = [&](Tensor1<const std::int32_t> ids_N, Tensor2<const float> table) {
      embedding_forward(pass.exec, x_NC, Write::kAccumulate, ids_N, table, 0);
    };
    if (position_) add(pass.positions_N, parameters_.value2(*position_));
    if (sinusoidal_) add(pass.positions_N, sinusoids(pass.exec));
    if (segment_) add(pass.segments_N, parameters_.value2(*segment_));
  }
}

void EmbeddingLayer::backward(const Pass& pass, Tensor2<const float> dx_NC) const {
  add_gradient(pass, token_, dx_NC, pass.token_groups, vocabulary_.begin);
  if (position_) add_gradient(pass, *position_, dx_NC, pass.position_groups, 0);
  if (segment_) add_gradient(pass, *segment_, dx_NC, pass.segment_groups, 0);
}

void EmbeddingLayer::add_gradient(const Pass& pass, std::size_t table, Tensor2<const float> dx_NC,
                                  const DeviceRowGroups& groups, std::int64_t first_id) const {
  if (!parameters_.any_trained(table, 1)) return parameters_.skip_gradients(table, 1);
  if (parameters_.gradient_write(table) == Write::kOverwrite) {
    fill(pass.exec, parameters_.gradient1(table), 0.0F);
  }
  embedding_backward(pass.exec, parameters_.gradient2(table), dx_NC, groups, first_id);
}

// Sines in the even columns, cosines in the odd ones.
Tensor2<const float> EmbeddingLayer::sinusoids(const Exec& exec) const {
  if (!exec.counting() && sinusoids_.extent(0) == 0) {
    std::vector<float> table(static_cast<std::size_t>(max_tokens_ * width_));
    for (std::int64_t position = 0; position < max_tokens_; ++position) {
      for (std::int64_t column = 0; column < width_; ++column) {
        const double exponent = static_cast<double>(column / 2 * 2) / static_cast<double>(width_);
        const double angle = static_cast<double>(position) / std::pow(10000.0, exponent);
        table[static_cast<std::size_t>(position * width_ + column)] =
            static_cast<float>(column % 2 == 0 ? std::sin(angle) : std::cos(angle));
      }
    }
    sinusoids_ = Kokkos::View<float*, Memory>(
        Kokkos::view_alloc(Kokkos::WithoutInitializing, "sinusoids"), table.size());
    copy_to_device(exec, Tensor1<float>(sinusoids_.data(), sinusoids_.extent(0)), table.data());
  }
  return Tensor2<const float>(sinusoids_.data(), max_tokens_, width_);
}

}  // namespace polyphase
