// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "recipe/checks.hpp"
#include "recipe/iterate_checks.hpp"
#include "recipe/load.hpp"
#include "recipe/overrides.hpp"
#include "recipe/schema.hpp"
#include "recipe/search.hpp"
#include "recipe/variants.hpp"

namespace polyphase::recipe {
namespace {

// The recipe with one strategy's changes, read anew. All its values stand at `place`, but the
// changed ones at the places of their keys below `keys`.
void check_changed(const Recipe& recipe, const Strategy& strategy, const Place& place,
                   const std::map<std::string, Place>& places, const std::string& keys,
                   Faults& faults) {
  Node root = write_recipe(recipe);
  root.erase("iterate");
  set_places(root, place);
  for (const Change& change : strategy.set) {
    const Place at = nearest_place(places, keys + change.path);
    apply_change(root, change,
                 {fmt::format("{}: strategy {}", at.text, quoted(strategy.name)), at.order},
                 faults);
  }
  if (!faults.empty()) return;
  std::map<std::string, Place> changed_places;
  changed_places[""] = place;
  Recipe changed = read_recipe(root, changed_places, faults);
  for (Phase& phase : changed.phases) phase.gate.reset();
  changed.iterate.emplace();
  changed.iterate->target = recipe.iterate->target;
  check_recipe(changed, changed_places, faults);
}

// Whether the ranks of the job can be dealt to trials of the strategy's search.
void check_groups(const Recipe& recipe, std::size_t index, std::int64_t num_ranks,
                  const std::map<std::string, Place>& places, Faults& faults) {
  const std::optional<Search>& search = recipe.iterate->strategies[index].search;
  const std::int64_t size = search ? search->ranks_per_trial : 0;
  const std::int64_t copy = recipe.parallel.ranks_of_copy();
  if (size == 0 || num_ranks % copy != 0) return;  // the latter is a fault of its own
  if (num_ranks % size == 0 && size % copy == 0) return;
  std::vector<std::string> fits = {"0"};
  for (std::int64_t ranks = copy; ranks <= num_ranks; ranks += copy) {
    if (num_ranks % ranks == 0) fits.push_back(fmt::format("{}", ranks));
  }
  const std::string path = strategy_path(recipe, places, index) + ".search.ranks_per_trial";
  Place place = nearest_place(places, path);
  if (place.text.empty()) place.text = recipe.name;
  faults.add(
      place,
      fmt::format("{} is {}; of {} ranks in groups of {} {} a trial may have {} (0: all, "
                  "one trial after the other)",
                  path, size, num_ranks, copy_keys(recipe.parallel), copy, alternatives(fits)));
}

// Those that the job of phase `only` trains of a trial: where trials are side by side, the target's
// job has all that the search changes, and what starts from it.
std::set<std::string> phases_in_job(const Recipe& trial, const Strategy& strategy,
                                    const std::string& only, const std::string& target) {
  std::set<std::string> names = {only};
  if (!strategy.search || strategy.search->ranks_per_trial == 0 || only != target) return names;
  for (const std::size_t number : road_to(trial, target)) {
    const Phase& phase = trial.phases[number];
    const std::vector<std::string> needed = needed_phases(phase);
    if (touches(*strategy.search, phase.name) ||
        std::any_of(needed.begin(), needed.end(),
                    [&](const std::string& name) { return names.contains(name); }))
      names.insert(phase.name);
  }
  return names;
}

// The first trial of a search that does not fit is enough.
void check_variant_layouts(const Recipe& recipe, const Strategy& strategy, std::int64_t num_ranks,
                           const std::string& only, const std::map<std::string, Place>& places,
                           Faults& faults) {
  for (const Strategy& one : with_trials(recipe, strategy)) {
    bool has_others = false;
    try {
      const Recipe all =
          variant_of(recipe, {.strategies = {one.name}, .gates = gated_phases(recipe)});
      Recipe changed = variant_of(recipe, {.strategies = {one.name}, .gates = {}});
      changed.places.clear();
      if (!only.empty()) {
        const std::set<std::string> names =
            phases_in_job(all, strategy, only, recipe.iterate->target.phase);
        has_others = names.size() > 1;
        std::erase_if(changed.phases,
                      [&](const Phase& phase) { return !names.contains(phase.name); });
      }
      check_layout(changed, num_ranks);
    } catch (const RecipeError& error) {
      const std::string why =
          has_others ? fmt::format(
                           "; with ranks_per_trial the job of phase {} trains all phases "
                           "of its trials, on its {} ranks",
                           quoted(only), num_ranks)
                     : "";
      faults.add(nearest_place(places, "iterate.strategies"),
                 fmt::format("strategy {}: {}{}", quoted(one.name), error.what(), why));
      return;
    }
  }
}

}  // namespace

std::string strategy_path(const Recipe& recipe, const std::map<std::string, Place>& places,
                          std::size_t index) {
  const std::string by_name = "iterate.strategies." + recipe.iterate->strategies[index].name;
  return places.count(by_name) > 0 ? by_name : fmt::format("iterate.strategies[{}]", index);
}

// One trial with all of its steps stands for its shorter ones. The first fault of a search is
// enough: other trials have it too, or another value of the same key.
void check_strategies(const Recipe& recipe, const std::map<std::string, Place>& places,
                      Faults& faults) {
  if (!recipe.iterate) return;
  for (std::size_t i = 0; i < recipe.iterate->strategies.size(); ++i) {
    const Strategy& strategy = recipe.iterate->strategies[i];
    const std::string path = strategy_path(recipe, places, i);
    Place place = nearest_place(places, path);
    place.text += ": strategy " + quoted(strategy.name);
    Faults own;
    const std::string keys = path + (strategy.search ? ".search.values." : ".set.");
    for (const Strategy& one : with_trials(recipe, strategy)) {
      if (own.empty() && !one.is_preliminary())
        check_changed(recipe, one, place, places, keys, own);
    }
    faults.append(own);
  }
}

void check_strategy_layouts(const Recipe& recipe, std::int64_t num_ranks, const std::string& only) {
  if (!recipe.iterate) return;
  Faults faults;
  std::map<std::string, Place> places;
  for (const auto& [path, place] : recipe.places) places[path] = {place, 0};
  const bool has_groups = only.empty() || only == recipe.iterate->target.phase;
  for (std::size_t i = 0; has_groups && i < recipe.iterate->strategies.size(); ++i)
    check_groups(recipe, i, num_ranks, places, faults);
  for (const Strategy& strategy : recipe.iterate->strategies)
    check_variant_layouts(recipe, strategy, num_ranks, only, places, faults);
  faults.throw_if_any();
}

}  // namespace polyphase::recipe
