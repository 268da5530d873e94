// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "recipe/recipe.hpp"

// Recipes that follow from a recipe with strategies and gates.
namespace polyphase::recipe {

// What a round adds to the recipe, by name and in order.
struct Variant {
  std::vector<std::string> strategies;
  std::vector<std::string> gates;  // gated phases that are on the road
};

// The recipe of a round: the strategies' changes are made, then whatever starts from a gated phase
// that is not in `gates` starts from that phase's own parent instead. It has neither `iterate` nor
// gates. RecipeError when the changes do not fit together.
Recipe variant_of(const Recipe& recipe, const Variant& variant);

// Numbers of the phases that the named one depends on, and its own, in the order of the recipe.
std::vector<std::size_t> road_to(const Recipe& recipe, const std::string& phase);

// Names of the gated phases, in the order of the recipe.
std::vector<std::string> gated_phases(const Recipe& recipe);

// The strategy, or trial of a search, of that name; std::logic_error when there is none.
Strategy find_strategy(const Recipe& recipe, const std::string& name);

}  // namespace polyphase::recipe
