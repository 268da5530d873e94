// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "recipe/recipe.hpp"

namespace polyphase {

// Learning rate of a step (counted from 0) in a phase of total_steps steps. It rises linearly over
// the warm-up, reaching the full rate at step warmup_steps - 1. Then, with p going from 0 to 1
// between there and total_steps, and f = final_fraction, the full rate is multiplied by
//   constant       1
//   linear         f + (1 - f)(1 - p)
//   cosine         f + (1 - f)(1 + cos(π q)) / 2, q going from 0 to 1 in each of `cycles` equal
//                  cycles (Loshchilov and Hutter, 2017, eq. 5)
//   inverse_sqrt   √(w / (step + 1)), w = max(1, warmup_steps), but not below f (Vaswani et al.,
//                  2017, section 5.3)
//   wsd            1, and in the last decay_fraction of all steps a straight line down to f
//   (warm-up,
//                  stable, decay: Hu et al., 2024, section 4.2)
double learning_rate_at(const recipe::Optimizer& optimizer, std::int64_t step,
                        std::int64_t total_steps);

}  // namespace polyphase
