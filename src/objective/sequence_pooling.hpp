// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/pass.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// One state a sequence: the mean of its final hidden states, the first or the last of them, or what
// a pair of texts has: the features of both texts' means (kernels/pair_features.hpp; the mean of a
// second text that is not there is 0). And dropout.
template <class Real>
class SequencePooling {
 public:
  SequencePooling(recipe::Pooling pooling, std::int64_t width) : pooling_(pooling), width_(width) {}

  // C, of what the head sees.
  std::int64_t width() const { return pooling_ == recipe::Pooling::kPair ? 4 * width_ : width_; }

  struct Pooled {
    Tensor2<Real> x_BC;
    Tensor2<float> dx_BC;                   // for the head to overwrite
    Tensor1<const std::int32_t> rows_B;     // the first or the last
    Tensor1<const std::int32_t> starts_2B;  // pairs: of every text, and the end
    Tensor2<Real> texts_B2W;                // pairs: the means of both texts
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
