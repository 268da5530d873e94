// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/controller.hpp"
#include "control/run_folder.hpp"
#include "recipe/recipe.hpp"
#include "train/phase.hpp"

namespace polyphase {

// What the phases of a run are made from: the recipes of its rounds, and phases of this run and of
// others. Gives references that stay good as long as it lives.
class PhaseSources {
 public:
  // `folder`: of the run, on rank 0 alone; elsewhere nullptr.
  PhaseSources(const recipe::Recipe& recipe, const Communicator& world, std::string run_dir,
               RunFolder* folder)
      : recipe_(recipe), world_(world), run_dir_(std::move(run_dir)), folder_(folder) {}

  const recipe::Recipe& recipe_of(const Journal& journal, std::int64_t round);

  // The phase `own` of the same round or that of another run. Collective. None where neither is
  // given. What is taken of another run is noted, and must be what was taken before.
  std::optional<SourcePhase> source_of(const Journal& journal, const PhaseUse& use,
                                       const std::string& own,
                                       const std::optional<recipe::OtherRun>& other);

  // What the phase's checkpoints say of where they come from.
  RunIdentity identity_of(const Journal& journal, const PhaseUse& use);

 private:
  const recipe::Recipe& other_recipe(const std::string& text);

  const recipe::Recipe& recipe_;
  const Communicator& world_;
  std::string run_dir_;
  RunFolder* folder_;
  // Of the rounds, by their strategies and gates: a round may be another than was foreseen.
  std::map<std::pair<std::vector<std::string>, std::vector<std::string>>, recipe::Recipe> recipes_;
  std::map<std::string, recipe::Recipe> other_recipes_;  // of other runs, by their text
};

}  // namespace polyphase
