// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "model/parameters.hpp"
#include "model/pass.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// Token embeddings plus what the model has of positions (learned, or Vaswani et al., 2017, section
// 3.5) and segments (Devlin et al., 2019, figure 2). The vocabulary is split over the
// tensor-parallel ranks.
class EmbeddingLayer {
 public:
  // num_token_ids: rows of the token table. `chunks`: of a pipeline, those that embed.
  EmbeddingLayer(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
                 std::int64_t num_token_ids, const std::vector<int>& chunks = {0});

  // Overwrites x_NC with this rank's partial sum.
  void forward(const Pass& pass, Tensor2<float> x_NC) const;
  void backward(const Pass& pass, Tensor2<const float> dx_NC) const;

  // The token table: what a tied output projection multiplies with.
  std::size_t token_table() const { return token_; }
  std::int64_t num_token_ids() const { return num_token_ids_; }
  Split vocabulary() const { return vocabulary_; }

 private:
  void add_gradient(const Pass& pass, std::size_t table, Tensor2<const float> dx_NC,
                    const DeviceRowGroups& groups, std::int64_t first_id) const;
  Tensor2<const float> sinusoids(const Exec& exec) const;

  ParameterSet& parameters_;
  std::int64_t num_token_ids_, max_tokens_, width_;
  Split vocabulary_;
  std::size_t token_ = 0;
  std::optional<std::size_t> position_, segment_;
  bool sinusoidal_;
  mutable Kokkos::View<float*, Memory> sinusoids_;  // made when first needed
};

}  // namespace polyphase
