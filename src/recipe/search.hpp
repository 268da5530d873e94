// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "recipe/recipe.hpp"

// The trials of a search, as strategies: functions of the recipe and its seed.
namespace polyphase::recipe {

// Trials before any is dropped: every combination of the lists, the last key's values changing
// fastest, or as many drawn sets of values as the search asks for, all different where the lists
// have so many. RecipeError, without a place, when the values cannot be read.
std::vector<std::vector<Change>> values_of_trials(const Search& search, std::uint64_t seed);

// A trial of the strategy's search on a rung; `trials` are its values_of_trials. On a rung before
// the last, the phases that its keys are of (all phases for a key of none) have a share of their
// steps or epochs: 1 / keep_one_in for each rung that follows, and at least 1.
Strategy trial_of(const Recipe& recipe, const Strategy& strategy,
                  const std::vector<std::vector<Change>>& trials, std::int64_t trial,
                  std::int64_t rung);

// What the names of a search's trials, and of no other strategy's, begin with.
std::string trial_prefix(const Strategy& strategy);

// The strategy alone or, in place of a search, all its trials, rung by rung.
std::vector<Strategy> with_trials(const Recipe& recipe, const Strategy& strategy);

// The recipe's strategies with all trials on all rungs in place of each search.
std::vector<Strategy> all_strategies(const Recipe& recipe);

// What a phase of `count` steps or epochs has of them on a rung.
std::int64_t count_on_rung(const Search& search, std::int64_t count, std::int64_t rung);

// Whether a search changes the phase.
bool touches(const Search& search, const std::string& phase);

// Trials on a rung of a search of so many.
std::int64_t trials_on_rung(const Search& search, std::int64_t num_trials, std::int64_t rung);

}  // namespace polyphase::recipe
