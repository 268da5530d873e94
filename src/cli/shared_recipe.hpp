// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "cli/commands.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// What a job does of a recipe: all of it, or a phase alone, which then is what must fit the ranks.
// Preparing fits any.
struct Extent {
  bool trains = true;
  std::string phase;  // "": all
};

// Rank 0 loads the recipe and gives it to all ranks, or its faults; checked for this number of
// ranks and for its files.
recipe::Recipe shared_recipe(const RecipeOptions& options, const Communicator& world,
                             const Extent& extent);

// Checks that every file that the recipe names and the run still needs is there.
void check_given_files(recipe::Recipe recipe);

// check_patterns() of the recipe, and of it with each strategy's changes.
void check_all_patterns(const recipe::Recipe& recipe);

// Prepares the recipe's corpora, but for those that its phases make, in data_dir on all ranks: only
// what changed. Prints what there is.
// Between its stages it asks whether to stop (collectively); false: stopped, and what is done is
// kept.
bool prepare_corpora(const recipe::Recipe& recipe, const std::string& data_dir,
                     const Communicator& world, const std::function<bool()>& stop_is_wanted);

// Likewise corpora that phases made, from these phases' folders, by the corpora's names.
void prepare_made_corpora(const recipe::Recipe& recipe,
                          const std::map<std::string, std::filesystem::path>& folders,
                          const std::string& data_dir, const Communicator& world);

}  // namespace polyphase
