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
  // `own_rows`: of those alone that this tensor-parallel rank has (Pass::own()).
  NormLayer(ParameterSet& parameters, const std::string& name, const recipe::Model& model,
            bool own_rows = false);
  // Where the chain is cut between chunks of a pipeline: the step without a norm.
  explicit NormLayer(ParameterSet& parameters)
      : parameters_(parameters), norm_{.kind = NormKind::kNone} {}

  // Takes memory in the arena for the statistics of the forward pass that follows. The sum is kept
  // in sum_NC: of a norm without an update, its input.
  void reserve(const Pass& pass, Tensor2<float> sum_NC);

  // What enters the norm: the residual stream and, but for the chain's first norm, a sublayer's
  // update and its bias.
  struct Input {
    Tensor2<const float> residual_NC;
    Tensor2<const float> update_NC;  // may be empty
    Tensor1<const float> bias_C;     // of the update
    Dropout dropout;                 // of the update
  };

  // Keeps the sum and its statistics; writes y_NC, and y_float_NC if it is not empty.
  void forward(const Pass& pass, Tensor2<Real> y_NC, Tensor2<float> y_float_NC, const Input& input);
  // Of the last forward pass.
  Tensor2<const float> sum() const { return sum_NC_; }

  struct Gradients {
    Tensor2<Real> dupdate_NC;  // out; may be empty
    Tensor1<float> dbias_C;    // out; may be empty
    Write bias_write = Write::kOverwrite;
    Tensor2<const float> dy_NC;     // in
    Tensor2<const float> dskip_NC;  // in; may be empty
  };
  // Returns the gradient of the sum, which takes the sum's place.
  Tensor2<float> backward(const Pass& pass, const Gradients& gradients, NormPlace place);

  // Before the backward pass: y_NC, or y_float_NC, again.
  template <class Out>
  void again(const Pass& pass, Tensor2<Out> y_NC) const;

 private:
  Tensor1<const float> gain() const;
  Tensor1<const float> shift() const;

  ParameterSet& parameters_;
  std::optional<std::size_t> gain_, shift_;
  Norm norm_;
  Tensor2<float> sum_NC_;
  Tensor1<float> mean_N_, rstd_N_;
  Dropout dropout_;
};

}  // namespace polyphase
