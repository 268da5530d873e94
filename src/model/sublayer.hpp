// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "kernels/activation.hpp"
#include "kernels/attention.hpp"
#include "model/linear.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// The two sublayers of a transformer block. Both map y_NC (the norm's output) to a partial sum
// update_NC, which the caller sums over the tensor-parallel ranks and adds to the residual stream
// with the output product's bias. A forward pass keeps what the backward pass needs in the arena;
// y_NC itself is made again by the caller.

template <class Real>
class SelfAttention {
 public:
  SelfAttention(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
                const std::string& name);

  void forward(const Pass& pass, Tensor2<float> update_NC, Tensor2<const Real> y_NC,
               std::uint64_t place);
  // Overwrites dy_NC with this rank's partial sum.
  void backward(const Pass& pass, Tensor2<float> dy_NC, Tensor2<const Real> dupdate_NC,
                Tensor2<const Real> y_NC);
  const Linear& output() const { return output_; }

 private:
  AttentionInput<Real> input(const Pass& pass) const;

  Linear query_key_value_, output_;
  AttentionShape shape_;
  Tensor2<Real> qkv_N3C_, heads_NC_;
  Tensor2<float> log_sum_NH_;
  std::uint64_t place_ = 0;
};

template <class Real>
class FeedForward {
 public:
  FeedForward(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
              const std::string& name);

  void forward(const Pass& pass, Tensor2<float> update_NC, Tensor2<const Real> y_NC);
  void backward(const Pass& pass, Tensor2<float> dy_NC, Tensor2<const Real> dupdate_NC,
                Tensor2<const Real> y_NC);
  const Linear& output() const { return output_; }

 private:
  Linear input_, output_;
  Activation activation_;
  Tensor2<Real> hidden_NF_;  // before the activation
};

// The activation that a recipe names.
Activation activation_named(const std::string& name);

}  // namespace polyphase
