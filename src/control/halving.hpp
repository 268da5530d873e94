// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "control/journal.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// The trials of a search that are to be trained on a rung: all on the first one, and then the best
// of those that were scored on the rung below, one in search.keep_one_in of all that stood there.
// The best first; of equals the earlier trial. As strategies, recipe::trial_of.
std::vector<recipe::Strategy> trials_of_rung(const recipe::Recipe& recipe,
                                             const recipe::Strategy& strategy,
                                             const Journal& journal, std::int64_t rung);

// The search that the round is a trial of; nullptr: it is none.
const recipe::Strategy* search_of(const recipe::Recipe& recipe, const Round& round);

// The round whose last strategy is the one named; nullptr when there is none.
const Round* round_of_strategy(const Journal& journal, const std::string& name);

}  // namespace polyphase
