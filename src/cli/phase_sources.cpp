// SPDX-License-Identifier: Apache-2.0
#include "cli/phase_sources.hpp"

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "cli/commands.hpp"
#include "cli/other_runs.hpp"
#include "comm/agreement.hpp"
#include "recipe/load.hpp"
#include "recipe/variants.hpp"

namespace polyphase {

const recipe::Recipe& PhaseSources::recipe_of(const Journal& journal, std::int64_t round) {
  const recipe::Variant& wanted = journal.rounds.at(static_cast<std::size_t>(round - 1)).variant;
  const std::pair key(wanted.strategies, wanted.gates);
  const auto known = recipes_.find(key);
  if (known != recipes_.end()) return known->second;
  return recipes_.emplace(key, recipe::variant_of(recipe_, wanted)).first->second;
}

std::optional<SourcePhase> PhaseSources::source_of(const Journal& journal, const PhaseUse& use,
                                                   const std::string& own,
                                                   const std::optional<recipe::OtherRun>& other) {
  if (!other && own.empty()) return std::nullopt;
  if (!other) {
    const recipe::Recipe& recipe = recipe_of(journal, use.round);
    const Round& round = journal.rounds.at(static_cast<std::size_t>(use.round - 1));
    const PhaseUse* needed = round.find(own);
    POLYPHASE_PROMISE(needed != nullptr, "round {} lacks {}", round.number, own);
    return SourcePhase{.recipe = recipe,
                       .phase = *recipe::find_phase(recipe, own),
                       .folder = std::filesystem::path(run_dir_) / needed->folder,
                       .name = own,
                       .is_of_other_run = false,
                       .digest = ""};
  }
  const std::string text = from_rank_0(world_, [&] {
    OtherRunPhase found;
    try {
      found = find_other_run_phase(recipe_, *other);
    } catch (const RecipeError& error) {
      fail<RecipeError>("phase {}: {}", use.name, error.what());
    }
    const Lineage* taken = folder_->taken(*other);
    if (taken != nullptr) found.lineage = *taken;  // which the phase's start compares it with
    folder_->take(folder_->find(use.folder), *other, found.lineage);
    return nlohmann::json(found).dump();
  });
  const auto found = nlohmann::json::parse(text).get<OtherRunPhase>();
  const recipe::Recipe& recipe = other_recipe(found.recipe);
  return SourcePhase{.recipe = recipe,
                     .phase = *recipe::find_phase(recipe, found.phase),
                     .folder = found.folder,
                     .name = recipe::other_run_name(*other),
                     .is_of_other_run = true,
                     .digest = found.lineage.digest};
}

const recipe::Recipe& PhaseSources::other_recipe(const std::string& text) {
  const auto known = other_recipes_.find(text);
  if (known != other_recipes_.end()) return known->second;
  return other_recipes_.emplace(text, recipe::parse(text, "the other run's recipe")).first->second;
}

RunIdentity PhaseSources::identity_of(const Journal& journal, const PhaseUse& use) {
  const std::string first = recipe::resolved(recipe::variant_of(recipe_, {}));
  return {.name = recipe_.name,
          .round = use.round,
          .changes = recipe::differences(first, recipe::resolved(recipe_of(journal, use.round))),
          .version = program_version()};
}

}  // namespace polyphase
