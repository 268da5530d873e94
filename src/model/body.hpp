// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "model/stack.hpp"

namespace polyphase {

// A model of one of the families without any head: from the rows of a micro-batch to final hidden
// states. A family is one file that arranges stacks: one_stack.cpp for BERT and GPT,
// encoder_decoder.cpp for T5.
template <class Real>
class Body {
 public:
  virtual ~Body() = default;

  virtual const EmbeddingLayer& embedding() const = 0;

  // `pass` is of the batch's own rows. Returns their final hidden states, whole on every
  // tensor-parallel rank, in the arena; of a chunk of a pipeline that is not the last, nothing of
  // use.
  virtual Tensor2<const Real> forward(const Pass& pass) = 0;

  // As Stack's. In the last chunk, dhidden_NC is the gradient; in others only memory.
  using FinalFrom = std::function<void(std::size_t)>;
  virtual void backward(const Pass& pass, Tensor2<float> dhidden_NC,
                        const FinalFrom& final_from) = 0;

  // The stack that gives the final hidden states is the last.
  virtual std::vector<Stack<Real>*> stacks() = 0;
};

// Declares the parameters of the model's family, the first of all of a phase's; its passes run
// those of the chunk that is begun. with_decoder: t5's two stacks (recipe::has_decoder), else its
// encoder alone, by the same names. `cuts`: of their layers.
template <class Real>
std::unique_ptr<Body<Real>> make_body(ParameterSet& parameters, const Communicator& tensor,
                                      const recipe::Model& model, std::int64_t vocab_size,
                                      bool with_decoder, const LayerCuts& cuts);

}  // namespace polyphase
