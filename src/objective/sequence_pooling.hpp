// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/pass.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// One state a sequence: the mean of its final hidden states, the first or the last of them, and
// dropout.
template <class Real>
class SequencePooling {
 public:
  SequencePooling(recipe::Pooling pooling, std::int64_t width) : pooling_(pooling), width_(width) {}

  struct Pooled {
    Tensor2<Real> x_BC;
    Tensor2<float> dx_BC;                // for the head to overwrite
    Tensor1<const std::int32_t> rows_B;  // the first or the last
    Dropout dropout;
  };
  Pooled forward(const Pass& pass, Tensor2<const Real> hidden_NC) const;
  // Adds dx_BC's gradient to dhidden_NC.
  void backward(const Pass& pass, const Pooled& pooled, Tensor2<float> dhidden_NC) const;

 private:
  recipe::Pooling pooling_;
  std::int64_t width_;
};

}  // namespace polyphase
