// SPDX-License-Identifier: Apache-2.0
#include "control/halving.hpp"

#include <algorithm>
#include <cmath>

#include "control/verdict.hpp"
#include "recipe/search.hpp"

namespace polyphase {

std::vector<recipe::Strategy> trials_of_rung(const recipe::Recipe& recipe,
                                             const recipe::Strategy& strategy,
                                             const Journal& journal, std::int64_t rung) {
  const auto values = recipe::values_of_trials(*strategy.search, recipe.seed);
  const auto num_trials = static_cast<std::int64_t>(values.size());
  struct Scored {
    double gain = 0;
    std::int64_t trial = 0;
  };
  std::vector<Scored> scored;
  for (std::int64_t trial = 0; trial < num_trials; ++trial) {
    if (rung == 0) {
      scored.push_back({0, trial});
      continue;
    }
    const Round* round = round_of_strategy(
        journal, recipe::trial_of(recipe, strategy, values, trial, rung - 1).name);
    if (round == nullptr || !round->verdict || !std::isfinite(round->verdict->score)) continue;
    scored.push_back({gain_of(recipe.iterate->target, round->verdict->score, 0), trial});
  }
  std::stable_sort(scored.begin(), scored.end(),
                   [](const Scored& a, const Scored& b) { return a.gain > b.gain; });
  const std::int64_t most = recipe::trials_on_rung(*strategy.search, num_trials, rung);
  std::vector<recipe::Strategy> trials;
  for (const Scored& one : scored) {
    if (static_cast<std::int64_t>(trials.size()) == most) break;
    trials.push_back(recipe::trial_of(recipe, strategy, values, one.trial, rung));
  }
  return trials;
}

const recipe::Strategy* search_of(const recipe::Recipe& recipe, const Round& round) {
  if (!recipe.iterate) return nullptr;
  for (const recipe::Strategy& strategy : recipe.iterate->strategies) {
    if (strategy.search && round.adds.starts_with(recipe::trial_prefix(strategy))) return &strategy;
  }
  return nullptr;
}

const Round* round_of_strategy(const Journal& journal, const std::string& name) {
  for (const Round& round : journal.rounds) {
    if (!round.variant.strategies.empty() && round.variant.strategies.back() == name) return &round;
  }
  return nullptr;
}

}  // namespace polyphase
