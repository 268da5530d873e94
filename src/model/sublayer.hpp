// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "model/linear.hpp"

namespace polyphase {

// A part of a transformer block: attention, cross attention, feed-forward. It maps y_NC (its norm's
// output, all rows) to a partial sum update_NC, which the stack sums over the tensor-parallel ranks
// and adds to the residual stream with the output product's bias. A forward pass keeps what the
// backward pass needs in the arena, from where the stack may take it back and run the pass again
// before the backward pass; y_NC itself is made again by the stack.
template <class Real>
class Sublayer {
 public:
  virtual ~Sublayer() = default;

  // `place` keys the dropout inside. An empty update_NC is not computed: a forward pass that only
  // makes again what the backward pass needs.
  virtual void forward(const Pass& pass, Tensor2<float> update_NC, Tensor2<const Real> y_NC,
                       std::uint64_t place) = 0;
  // Overwrites dy_NC with this rank's partial sum.
  virtual void backward(const Pass& pass, Tensor2<float> dy_NC, Tensor2<const Real> dupdate_NC,
                        Tensor2<const Real> y_NC) = 0;
  virtual const Linear& output() const = 0;
};

}  // namespace polyphase
