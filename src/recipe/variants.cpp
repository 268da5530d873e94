// SPDX-License-Identifier: Apache-2.0
#include "recipe/variants.hpp"

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "recipe/load.hpp"
#include "recipe/search.hpp"

namespace polyphase::recipe {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Recipe changed(const Recipe& recipe, const std::vector<std::string>& strategies) {
  Recipe base = recipe;
  base.iterate.reset();
  for (Phase& phase : base.phases) phase.gate.reset();
  std::vector<std::string> overrides;
  for (const std::string& name : strategies) {
    for (const Change& change : find_strategy(recipe, name).set) {
      overrides.push_back(change.path + "=" + change.value);
    }
  }
  return overrides.empty() ? base : parse(resolved(base), recipe.name, overrides);
}

}  // namespace

Recipe variant_of(const Recipe& recipe, const Variant& variant) {
  Recipe result = changed(recipe, variant.strategies);
  const std::vector<std::string> gated = gated_phases(recipe);
  // Parents come first, so that a parent's own `from` is what it is to be when a child looks.
  for (Phase& phase : result.phases) {
    const Phase* parent = find_phase(result, phase.from);
    const bool past = parent != nullptr && contains(gated, parent->name) &&
                      !contains(variant.gates, parent->name);
    if (!past) continue;
    if (phase.generate) {
      fail<RecipeError>(
          "phase {} writes a corpus with the model of {}, which has a gate: a round without {} has "
          "no "
          "such model; take out the gate",
          phase.name, parent->name, parent->name);
    }
    phase.from = std::string(parent->from);
    phase.from_run = parent->from_run;
    if (phase.starts_anew())
      phase.optimizer.state = StateHandover::kReset;  // nothing to keep it of
  }
  return result;
}

std::vector<std::size_t> road_to(const Recipe& recipe, const std::string& phase) {
  std::set<std::size_t> road;
  std::vector<std::string> wanted = {phase};
  while (!wanted.empty()) {
    const Phase* at = find_phase(recipe, wanted.back());
    wanted.pop_back();
    if (at == nullptr || !road.insert(static_cast<std::size_t>(at - recipe.phases.data())).second)
      continue;
    for (const std::string& name : needed_phases(*at)) wanted.push_back(name);
    for (const std::string& name : makers_of(recipe, *at)) wanted.push_back(name);
  }
  return {road.begin(), road.end()};
}

std::vector<std::string> gated_phases(const Recipe& recipe) {
  std::vector<std::string> names;
  for (const Phase& phase : recipe.phases) {
    if (phase.gate) names.push_back(phase.name);
  }
  return names;
}

Strategy find_strategy(const Recipe& recipe, const std::string& name) {
  // Only the search that the name is of is unfolded: this is asked once for every name of a round.
  for (const Strategy& strategy :
       recipe.iterate ? recipe.iterate->strategies : std::vector<Strategy>()) {
    if (strategy.name != name && !name.starts_with(trial_prefix(strategy))) continue;
    for (const Strategy& one : with_trials(recipe, strategy)) {
      if (one.name == name) return one;
    }
  }
  broken_promise(__FILE__, __LINE__, "a strategy that the recipe does not have: " + name);
}

}  // namespace polyphase::recipe
