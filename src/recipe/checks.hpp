// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "recipe/faults.hpp"
#include "recipe/recipe.hpp"

namespace polyphase::recipe {

// Faults that show only when several keys are seen together: names, references, and numbers that
// must divide.
void check_recipe(const Recipe& recipe, const std::map<std::string, Place>& places, Faults& faults);

// Its part on tokenizer and corpora.
void check_corpora(const Recipe& recipe, const std::map<std::string, Place>& places,
                   Faults& faults);

// The place of the key, else of the nearest section around it that has one.
Place nearest_place(const std::map<std::string, Place>& places, std::string path);

// "phases.pretrain", or "phases[2]" when an earlier phase has the name.
std::string phase_path(const Recipe& recipe, std::size_t index);

}  // namespace polyphase::recipe
