// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/parameters.hpp"
#include "model/pass.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// Token, position and segment embeddings, added (Devlin et al., 2019, figure 2). The vocabulary is
// split over the tensor-parallel ranks.
class EmbeddingLayer {
 public:
  EmbeddingLayer(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
                 std::int64_t vocab_size);

  void forward(const Pass& pass, Tensor2<float> x_NC) const;
  void backward(const Pass& pass, Tensor2<const float> dx_NC) const;

  // The token table: what a tied output projection multiplies with.
  std::size_t token_table() const { return token_; }
  Split vocabulary() const { return vocabulary_; }

 private:
  void add_gradient(const Pass& pass, std::size_t table, Tensor2<const float> dx_NC,
                    const DeviceRowGroups& groups, std::int64_t first_id) const;

  ParameterSet& parameters_;
  Split vocabulary_;
  std::size_t token_ = 0, position_ = 0, segment_ = 0;
};

}  // namespace polyphase
