// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "kernels/activation.hpp"
#include "model/sublayer.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// Two products with an activation between them, or, gated, three (Shazeer, 2020). The inner columns
// are split over the tensor-parallel ranks.
template <class Real>
class FeedForward final : public Sublayer<Real> {
 public:
  FeedForward(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
              const std::string& name);

  void forward(const Pass& pass, Tensor2<float> update_NC, Tensor2<const Real> y_NC,
               std::uint64_t place) override;
  void backward(const Pass& pass, Tensor2<float> dy_NC, Tensor2<const Real> dupdate_NC,
                Tensor2<const Real> y_NC) override;
  const Linear& output() const override { return output_; }

 private:
  bool gated_;
  Activation activation_;
  Linear input_, output_;
  Tensor2<Real> hidden_NF_;  // before the activation; gated: both parts side by side
};

}  // namespace polyphase
