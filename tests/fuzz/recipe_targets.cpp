// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "base/error.hpp"
#include "io/file.hpp"
#include "recipe/load.hpp"
#include "recipe/search.hpp"
#include "recipe/variants.hpp"
#include "tests/fuzz/targets.hpp"
#include "tests/recipe/good_recipe.hpp"

namespace polyphase::fuzz {
namespace {

void read_recipe(std::string_view bytes) {
  may_refuse<RecipeError>([&] {
    const recipe::Recipe recipe = recipe::parse(std::string(bytes), "recipe");
    // What is written down is the same recipe; another refusal here is a fault.
    const std::string resolved = recipe::resolved(recipe);
    try {
      const std::string again = recipe::resolved(recipe::parse(resolved, "resolved"));
      POLYPHASE_PROMISE(again == resolved, "another recipe when it is read back:\n{}", resolved);
    } catch (const RecipeError& error) {
      broken_promise(__FILE__, __LINE__, error.what());
    }
    recipe::check_layout(recipe, 2);
    recipe::check_strategy_layouts(recipe, 2);
  });
}

std::vector<std::string> recipes() {
  std::vector<std::string> texts = {recipe::kGoodRecipe};
  for (const auto& entry : std::filesystem::directory_iterator(POLYPHASE_INPUTS)) {
    if (entry.path().extension() == ".yaml") texts.push_back(read_file(entry.path()));
  }
  return texts;
}

}  // namespace

std::vector<Target> recipe_targets() { return {{"recipe", read_recipe, recipes}}; }

}  // namespace polyphase::fuzz
