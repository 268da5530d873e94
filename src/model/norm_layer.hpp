// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "kernels/norm.hpp"
#include "model/parameters.hpp"
#include "model/pass.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// A norm of the residual chain with what its backward pass needs: the parameter NAME.gain and, of
// layer norms, NAME.shift.
template <class Real>
class NormLayer {
 public:
  NormLayer(ParameterSet& parameters, const std::string& name, const recipe::Model& model);

  // What enters the norm: the residual stream and, but for the chain's first norm, a sublayer's
  // update and its bias.
  struct Input {
    Tensor2<float> residual_NC;      // without an update, the sum itself: kept where it is
    Tensor2<const float> update_NC;  // may be empty
    Tensor1<const float> bias_C;     // of the update
    Dropout dropout;                 // of the update
  };

  // Keeps the sum in the arena and returns it; writes y_NC, and y_float_NC if it is not empty.
  Tensor2<float> forward(const Pass& pass, Tensor2<Real> y_NC, Tensor2<float> y_float_NC,
                         const Input& input);

  struct Gradients {
    Tensor2<float> dsum_NC;    // out
    Tensor2<Real> dupdate_NC;  // out; may be empty
    Tensor1<float> dbias_C;    // out; may be empty
    Write bias_write = Write::kOverwrite;
    Tensor2<const float> dy_NC;     // in
    Tensor2<const float> dskip_NC;  // in; may be empty
  };
  void backward(const Pass& pass, const Gradients& gradients, NormPlace place);

  // y_NC again.
  void again(const Pass& pass, Tensor2<Real> y_NC) const;

 private:
  Tensor1<const float> shift() const;

  ParameterSet& parameters_;
  std::size_t gain_ = 0;
  std::optional<std::size_t> shift_;
  Norm norm_;
  Tensor2<float> sum_NC_;
  Tensor1<float> mean_N_, rstd_N_;
  Dropout dropout_;
};

}  // namespace polyphase
