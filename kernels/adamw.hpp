// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "kernels/bf16.hpp"
#include "kernels/exec.hpp"

namespace polyphase {

// One step of AdamW (Loshchilov and Hutter, 2019, algorithm 2), or of Adam (Kingma and Ba, 2015,
// algorithm 1), in the form that PyTorch computes.
struct AdamW {
  float learning_rate = 0;
  float beta1 = 0.9F;
  float beta2 = 0.999F;
  float epsilon = 1e-8F;
  float weight_decay = 0;    // decoupled: parameters shrink by learning_rate · weight_decay
  bool in_gradient = false;  // weight_decay · parameter is added to the gradient instead: Adam's
                             // L2 penalty
  // Of the bias corrections of the first and of the second moment; they count from 1.
  std::int64_t step = 1, squares_step = 1;
  float gradient_scale = 1;  // multiplies the gradient first: clipping
};

// How moments become bf16: up or down at random, the nearer the likelier, so that their means stay.
// Rounded to nearest, a moment would stand still whose change is below half a unit of its last
// place, as that of the second is where beta2 is 0.999. The draw is a function of the key and the
// element's number.
struct RandomRounding {
  std::uint64_t key = 0;
  std::int64_t first_element = 0;  // number of the tensors' first
};

// One parameter: four tensors of equal extent. Moments are float, or bf16.
template <class Moment>
struct AdamWUpdate {
  Tensor1<float> parameter;
  Tensor1<Moment> moment1, moment2;
  Tensor1<const float> gradient;
  AdamW rule;
  RandomRounding rounding;
};

// Updates parameter, first moment and second moment of each in place, in one launch for all of
// them. They have the same rule.in_gradient.
template <class Moment>
void adamw_update(const Exec& exec, const std::vector<AdamWUpdate<Moment>>& updates);

// Updates both moments as above, and writes the direction that LAMB scales (You et al., 2020,
// algorithm 2): moment1 / (sqrt(moment2) + epsilon), both free of their bias, plus weight_decay ·
// parameter.
void lamb_direction(const Exec& exec, Tensor1<float> direction, Tensor1<float> moment1,
                    Tensor1<float> moment2, Tensor1<const float> parameter,
                    Tensor1<const float> gradient, const AdamW& rule);

}  // namespace polyphase
