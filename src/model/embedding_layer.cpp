// SPDX-License-Identifier: Apache-2.0
#include "model/embedding_layer.hpp"

#include "kernels/elementwise.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kNumSegments = 2;

}  // namespace

EmbeddingLayer::EmbeddingLayer(ParameterSet& parameters, const Communicator& tensor,
                               const recipe::Model& model, std::int64_t vocab_size)
    : parameters_(parameters), vocabulary_(split_evenly(vocab_size, tensor.rank(), tensor.size())) {
  token_ = parameters.declare({.name = "embedding.token.weight",
                               .global_shape = {vocab_size, model.width},
                               .split_dimension = 0,
                               .split = vocabulary_});
  position_ = parameters.declare(
      {.name = "embedding.position.weight", .global_shape = {model.max_tokens, model.width}});
  segment_ = parameters.declare(
      {.name = "embedding.segment.weight", .global_shape = {kNumSegments, model.width}});
}

void EmbeddingLayer::forward(const Pass& pass, Tensor2<float> x_NC) const {
  embedding_forward(pass.exec, x_NC, Write::kOverwrite, pass.tokens_N, parameters_.value2(token_),
                    vocabulary_.begin);
  // The sum over the ranks must hold the other two tables once.
  if (pass.tensor.rank() == 0) {
    embedding_forward(pass.exec, x_NC, Write::kAccumulate, pass.positions_N,
                      parameters_.value2(position_), 0);
    embedding_forward(pass.exec, x_NC, Write::kAccumulate, pass.segments_N,
                      parameters_.value2(segment_), 0);
  }
  pass.sum_over_tensor_ranks(x_NC);
}

void EmbeddingLayer::backward(const Pass& pass, Tensor2<const float> dx_NC) const {
  add_gradient(pass, token_, dx_NC, pass.token_groups, vocabulary_.begin);
  add_gradient(pass, position_, dx_NC, pass.position_groups, 0);
  add_gradient(pass, segment_, dx_NC, pass.segment_groups, 0);
}

void EmbeddingLayer::add_gradient(const Pass& pass, std::size_t table, Tensor2<const float> dx_NC,
                                  const DeviceRowGroups& groups, std::int64_t first_id) const {
  if (parameters_.gradient_write(table) == Write::kOverwrite) {
    fill(pass.exec, parameters_.gradient1(table), 0.0F);
  }
  embedding_backward(pass.exec, parameters_.gradient2(table), dx_NC, groups, first_id);
}

}  // namespace polyphase
