// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "model/embedding_layer.hpp"
#include "model/norm_layer.hpp"
#include "model/sublayer.hpp"

namespace polyphase {

// A bidirectional transformer encoder (Devlin et al., 2019). Pre-norm and post-norm are the same
// chain of 2L + 1 norms: norm 0 takes the embeddings; norm s (s ≥ 1) takes the residual plus the
// update of sublayer s (attention and feed-forward in turn) and feeds sublayer s + 1. They differ
// only in the residual that goes on: the norm's input (pre) or its output (post). Attention
// projections, heads and feed-forward columns are split over the tensor-parallel ranks, norms are
// not.
template <class Real>
class Encoder {
 public:
  Encoder(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
          std::int64_t vocab_size);

  const EmbeddingLayer& embedding() const { return embedding_; }
  std::int64_t width() const { return model_.width; }

  // Returns the final hidden states, whole on every tensor-parallel rank, in the arena.
  Tensor2<const Real> forward(const Pass& pass);

  // dhidden_NC is the gradient of the final hidden states. As the pass goes down the layers,
  // `final_from` hears the number of the first parameter from which on all gradients of the set are
  // final.
  using FinalFrom = std::function<void(std::size_t)>;
  void backward(const Pass& pass, Tensor2<const float> dhidden_NC, const FinalFrom& final_from);

 private:
  bool post() const { return model_.norm == recipe::NormPlacement::kPost; }
  const Linear& output_of_sublayer(std::int64_t s) const;
  void drop_embeddings(const Pass& pass, Tensor2<Real> y_NC) const;
  void sublayer_backward(const Pass& pass, std::int64_t s, Tensor2<float> dy_NC,
                         Tensor2<const Real> dupdate_NC, Tensor2<const Real> y_NC);

  recipe::Model model_;
  EmbeddingLayer embedding_;
  std::vector<SelfAttention<Real>> attention_;
  std::vector<FeedForward<Real>> feed_forward_;
  std::vector<NormLayer<Real>> norms_;        // 2L + 1
  std::vector<std::size_t> first_parameter_;  // of each layer, and of what comes behind the last
};

}  // namespace polyphase
