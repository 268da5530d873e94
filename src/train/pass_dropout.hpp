// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "model/pass.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// The noise of a step (counted from 0) of a phase, whose number for random keys is phase_key.
PassDropout dropout_of_step(const recipe::Recipe& recipe, const recipe::Phase& phase,
                            std::uint64_t phase_key, std::int64_t step);

}  // namespace polyphase
