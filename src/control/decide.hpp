// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>

#include "control/journal.hpp"
#include "recipe/recipe.hpp"

// The decisions of a run with rounds, as functions of plain data: the same data, the same decision.
namespace polyphase {

struct PhaseCost {
  std::int64_t steps = 0;
  double seconds = 0;  // of training and evaluation
};

struct Facts {
  // measure() of every phase on the kept round's road, by the phase's name.
  std::map<std::string, std::map<std::string, double>> measured;
  std::map<std::string, PhaseCost> costs;  // of every phase trained so far, by its folder
};

// What the round's own phases will cost, from what they cost in its parent; a phase that the parent
// lacks counts nothing.
PhaseCost expected_cost(const recipe::Recipe& recipe, const Round& round, const Round& parent,
                        const Facts& facts);

// The first round: the recipe without its gated phases. With an empty journal.
Round first_round(const recipe::Recipe& recipe);

// The round to follow the last verdict, or why none does: the target holds, the budget is spent, or
// no strategy is left. Gated phases are tried first, then strategies in their order; each once. A
// round trains the phases of the target's road that no earlier round has trained alike.
struct NextRound {
  std::optional<Round> round;
  std::string end;
  std::vector<Considered> considered;
};
NextRound next_round(const recipe::Recipe& recipe, const Journal& journal, const Facts& facts);

}  // namespace polyphase
