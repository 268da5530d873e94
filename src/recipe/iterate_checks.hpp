// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "recipe/faults.hpp"
#include "recipe/recipe.hpp"

namespace polyphase::recipe {

// Faults of `iterate` and of gates: names, metrics, conditions.
void check_iterate(const Recipe& recipe, const std::map<std::string, Place>& places,
                   Faults& faults);

// Faults that the recipe would have with each strategy's changes, at the strategy's place. The
// recipe itself must be free of faults.
void check_strategies(const Recipe& recipe, const std::map<std::string, Place>& places,
                      Faults& faults);

// "iterate.strategies.NAME", or "iterate.strategies[2]" where that is how its place is known.
std::string strategy_path(const Recipe& recipe, const std::map<std::string, Place>& places,
                          std::size_t index);

}  // namespace polyphase::recipe
