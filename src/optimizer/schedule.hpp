// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "recipe/recipe.hpp"

namespace polyphase {

// Learning rate of a step (counted from 0) in a phase of total_steps steps. It rises linearly over
// the warm-up, reaching the full rate at step warmup_steps - 1; then it stays (constant) or falls
// to final_fraction of it at total_steps, on a straight line (linear) or half a cosine wave
// (cosine; Loshchilov and Hutter, 2017, eq. 5).
double learning_rate_at(const recipe::Optimizer& optimizer, std::int64_t step,
                        std::int64_t total_steps);

}  // namespace polyphase
