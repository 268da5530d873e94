// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "recipe/document.hpp"
#include "recipe/recipe.hpp"
#include "recipe/section.hpp"

namespace polyphase::recipe {

// Reads the recipe's fields from the tree and notes the places of the keys by their paths; faults
// go to `faults`. No cross checks.
Recipe read_recipe(const Node& root, std::map<std::string, Place>& places, Faults& faults);

// The recipe as a tree, every key written, in the order of the schema.
Node write_recipe(const Recipe& recipe);

}  // namespace polyphase::recipe
