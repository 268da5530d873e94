// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "kernels/exec.hpp"

namespace polyphase {

// One step of gradient descent. With momentum it is Sutskever et al., 2013, section 2, in the form
// that PyTorch computes: velocity = momentum · velocity + g, and the parameter moves against the
// velocity, or with nesterov against g + momentum · velocity.
struct Sgd {
  float learning_rate = 0;
  float momentum = 0;  // 0: velocity stays untouched and may be empty
  bool nesterov = false;
  float weight_decay = 0;  // weight_decay · parameter is added to the gradient: the L2 penalty
  float gradient_scale = 1;
};
// One parameter, with its velocity and gradient.
struct SgdUpdate {
  Tensor1<float> parameter, velocity;
  Tensor1<const float> gradient;
  Sgd rule;
};
// All in one launch; of all or of none the momentum is 0.
void sgd_update(const Exec& exec, const std::vector<SgdUpdate>& updates);

// One step of Lion (Chen et al., 2023, algorithm 2): the parameter moves by the sign of
// beta1 · momentum + (1 - beta1) · g, after it has shrunk by learning_rate · weight_decay; then
// momentum = beta2 · momentum + (1 - beta2) · g.
struct Lion {
  float learning_rate = 0;
  float beta1 = 0.9F;
  float beta2 = 0.99F;
  float weight_decay = 0;
  float gradient_scale = 1;
};
struct LionUpdate {
  Tensor1<float> parameter, momentum;
  Tensor1<const float> gradient;
  Lion rule;
};
// All in one launch.
void lion_update(const Exec& exec, const std::vector<LionUpdate>& updates);

// average = momentum · average + (1 - momentum) · g, g being gradient_scale · gradient. Writes the
// average to direction, or with nesterov momentum · average + (1 - momentum) · g.
void averaged_direction(const Exec& exec, Tensor1<float> direction, Tensor1<float> average,
                        Tensor1<const float> gradient, float gradient_scale, float momentum,
                        bool nesterov);

}  // namespace polyphase
