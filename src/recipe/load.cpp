// SPDX-License-Identifier: Apache-2.0
#include "recipe/load.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.hpp"
#include "recipe/checks.hpp"
#include "recipe/document.hpp"
#include "recipe/iterate_checks.hpp"
#include "recipe/other_run.hpp"
#include "recipe/overrides.hpp"
#include "recipe/schema.hpp"

namespace polyphase::recipe {
namespace {

namespace fs = std::filesystem;

// A recipe without the section `tokenizer` takes that of the first other run that it builds on.
void fill_defaults(Recipe& recipe, const std::string& folder, bool tokenizer_is_given) {
  if (recipe.run_dir.empty()) recipe.run_dir = "runs/" + recipe.name;
  if (recipe.folder.empty()) recipe.folder = folder;
  const std::vector<OtherRunUse> others = uses_of_other_runs(recipe);
  if (!tokenizer_is_given && !others.empty())
    recipe.tokenizer.model = tokenizer_of_run(others.front().other.run);
  for (Corpus& corpus : recipe.corpora) {
    if (corpus.kind != CorpusKind::kText) continue;
    if (corpus.files.empty()) corpus.files = corpus.train;
    corpus.train.clear();
  }
}

Recipe build(const std::string& yaml_text, const std::string& name, const std::string& folder,
             const std::vector<std::string>& overrides) {
  Faults faults;
  Node root = parse_document(yaml_text, name, Marks::kLineAndColumn, faults);
  if (root.kind != Node::Kind::kMap) {
    fail<RecipeError>("{}: the recipe is {}; expected keys and values", root.place.text,
                      description(root));
  }
  apply_overrides(root, overrides, faults);
  std::map<std::string, Place> places;
  places[""] = root.place;
  Recipe recipe = read_recipe(root, places, faults);
  fill_defaults(recipe, folder, places.count("tokenizer") > 0);
  check_recipe(recipe, places, faults);
  if (faults.empty()) check_strategies(recipe, places, faults);
  faults.throw_if_any();
  for (const auto& [path, place] : places) recipe.places[path] = place.text;
  return recipe;
}

// Only regular files: a pipe or a device could hold the job for ever.
std::string read_text(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    fail<RecipeError>("{}: no such recipe file (looked in {})", path,
                      fs::absolute(path, error).parent_path().string());
  }
  if (fs::is_directory(status)) {
    fail<RecipeError>("{}: is a folder; expected a recipe file", path);
  }
  if (!fs::is_regular_file(status)) {
    fail<RecipeError>("{}: is not a regular file; expected a recipe file", path);
  }
  constexpr std::uintmax_t kMaxFileBytes = std::uintmax_t{1} << 20;
  const std::uintmax_t num_bytes = fs::file_size(path, error);
  if (!error && num_bytes > kMaxFileBytes) {
    fail<RecipeError>("{}: {} bytes; a recipe has at most {} bytes: is this a recipe?", path,
                      num_bytes, kMaxFileBytes);
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file.is_open() || file.bad()) {
    fail<RecipeError>("{}: cannot be read; are its permissions right?", path);
  }
  return text.str();
}

}  // namespace

Recipe load(const std::string& path, const std::vector<std::string>& overrides) {
  const std::string text = read_text(path);
  const fs::path folder = fs::absolute(path).lexically_normal().parent_path();
  return build(text, path, folder.string(), overrides);
}

Recipe parse(const std::string& yaml_text, const std::string& name_for_messages,
             const std::vector<std::string>& overrides) {
  return build(yaml_text, name_for_messages, fs::current_path().string(), overrides);
}

}  // namespace polyphase::recipe
