// SPDX-License-Identifier: Apache-2.0
#pragma once

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

// Updates parameter, first moment and second moment in place; four tensors of equal extent.
void adamw_update(const Exec& exec, Tensor1<float> parameter, Tensor1<float> moment1,
                  Tensor1<float> moment2, Tensor1<const float> gradient, const AdamW& rule);

// Updates both moments as above, and writes the direction that LAMB scales (You et al., 2020,
// algorithm 2): moment1 / (sqrt(moment2) + epsilon), both free of their bias, plus weight_decay ·
// parameter.
void lamb_direction(const Exec& exec, Tensor1<float> direction, Tensor1<float> moment1,
                    Tensor1<float> moment2, Tensor1<const float> parameter,
                    Tensor1<const float> gradient, const AdamW& rule);

}  // namespace polyphase
