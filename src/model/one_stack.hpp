// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/body.hpp"

namespace polyphase {

// A body of one stack: BERT's when every row sees all others, GPT's when it is causal.
template <class Real>
class OneStack final : public Body<Real> {
 public:
  OneStack(ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model,
           std::int64_t vocab_size, bool causal, const LayerCuts& cuts);

  const EmbeddingLayer& embedding() const override { return embedding_; }
  Tensor2<const Real> forward(const Pass& pass) override { return stack_.forward(pass); }
  void backward(const Pass& pass, Tensor2<float> dhidden_NC,
                const typename Body<Real>::FinalFrom& final_from) override {
    stack_.backward(pass, dhidden_NC, final_from);
  }
  std::vector<Stack<Real>*> stacks() override { return {&stack_}; }

 private:
  EmbeddingLayer embedding_;
  Stack<Real> stack_;
};

}  // namespace polyphase
