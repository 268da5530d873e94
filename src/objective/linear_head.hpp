// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "model/linear.hpp"
#include "model/pass.hpp"
#include "objective/ngram_bag.hpp"

namespace polyphase {

// A linear layer with few outputs at the end of a model, the same on every tensor-parallel rank:
// what a task's loss is computed from, in float32. A head of whole sequences may be told the
// n-grams of their tokens, too: its rows are then the batch's sequences.
class LinearHead {
 public:
  LinearHead(ParameterSet& parameters, const Communicator& tensor, const std::string& name,
             std::int64_t width, std::int64_t num_outputs,
             const std::optional<recipe::Ngrams>& ngrams = {});

  std::int64_t num_outputs() const { return num_outputs_; }

  // The outputs of x_MC's rows, in the arena.
  template <class Real>
  Tensor2<float> forward(const Pass& pass, Tensor2<const Real> x_MC) const;

  // The same into y_MK.
  template <class Real>
  void forward(const Pass& pass, Tensor2<float> y_MK, Tensor2<const Real> x_MC) const;

  // Overwrites dx_MC and writes the head's gradients, given those of the outputs.
  template <class Real>
  void backward(const Pass& pass, Tensor2<float> dx_MC, Tensor2<const Real> dy_MK,
                Tensor2<const Real> x_MC) const;

  // The same for losses of few numbers, which are computed on the host: outputs row by row (zeros
  // when the arena is counting), and their gradients.
  template <class Real>
  std::vector<float> forward_to_host(const Pass& pass, Tensor2<const Real> x_MC) const;
  template <class Real>
  void backward_from_host(const Pass& pass, Tensor2<float> dx_MC, const std::vector<float>& dy_MK,
                          Tensor2<const Real> x_MC) const;

 private:
  std::int64_t num_outputs_;
  Linear output_;
  NgramBag ngrams_;
};

}  // namespace polyphase
