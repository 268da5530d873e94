// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "recipe/recipe.hpp"

namespace polyphase {

// Throws one RecipeError that lists all faults of the patterns of parameter names in the recipe, a
// line each: a pattern of `freeze` or of a group that matches no parameter of its phase, with the
// nearest names; a phase in which everything is frozen. Opens and allocates nothing.
void check_patterns(const recipe::Recipe& recipe);

}  // namespace polyphase
