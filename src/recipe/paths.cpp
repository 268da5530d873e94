// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.hpp"
#include "recipe/checks.hpp"
#include "recipe/faults.hpp"
#include "recipe/load.hpp"

namespace polyphase::recipe {
namespace {

namespace fs = std::filesystem;

std::string expand_variables(const std::string& path) {
  std::string expanded;
  std::size_t done = 0;
  for (;;) {
    const std::size_t start = path.find("${", done);
    const std::size_t end = start == std::string::npos ? start : path.find('}', start);
    if (end == std::string::npos) return expanded + path.substr(done);
    const std::string variable = path.substr(start + 2, end - start - 2);
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr || *value == '\0') {
      fail<RecipeError>("the environment variable {} of the path {} is not set", variable,
                        quoted(path));
    }
    expanded += path.substr(done, start - done) + value;
    done = end + 1;
  }
}

// What is wrong with the file, or "".
std::string trouble_with(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return fmt::format("no file {} in {}", quoted(path.filename().string()),
                       path.parent_path().string());
  }
  if (!fs::is_regular_file(status)) {
    return fmt::format("{} is not a regular file", path.string());
  }
  if (!std::ifstream(path).is_open()) {
    return fmt::format("{} cannot be read; are its permissions right?", path.string());
  }
  return "";
}

// Calls visit(key path, path as written) for every file of the recipe; a reference, so that
// resolve() may change it.
template <class AnyRecipe, class Visit>
void for_each_file(AnyRecipe& recipe, const Visit& visit) {
  const auto visit_all = [&visit](const std::string& path, auto& files) {
    for (std::size_t i = 0; i < files.size(); ++i) visit(fmt::format("{}[{}]", path, i), files[i]);
  };
  if (!recipe.tokenizer.model.empty()) visit("tokenizer.model", recipe.tokenizer.model);
  for (auto& corpus : recipe.corpora) {
    const std::string path = "corpora." + corpus.name;
    const bool as_train = recipe.places.count(path + ".train") > 0;
    visit_all(path + (as_train ? ".train" : ".files"), corpus.files);
    visit_all(path + ".train", corpus.train);
    visit_all(path + ".valid", corpus.valid);
    visit_all(path + ".test", corpus.test);
  }
  for (auto& phase : recipe.phases) {
    auto& augmentation = phase.sampling.augmentation;
    if (augmentation && augmentation->synonyms)
      visit("phases." + phase.name + ".augment.synonyms.file", augmentation->synonyms->file);
  }
}

}  // namespace

std::string absolute_path(const Recipe& recipe, const std::string& path) {
  const fs::path expanded = expand_variables(path);
  return (fs::path(recipe.folder) / expanded).lexically_normal().string();
}

void check_files(const Recipe& recipe) {
  std::map<std::string, Place> places;
  for (const auto& [path, place] : recipe.places) places[path] = {place, 0};
  Faults faults;
  for_each_file(recipe, [&](const std::string& key, const std::string& file) {
    Place place = nearest_place(places, key);
    if (place.text.empty()) place.text = recipe.name;
    try {
      const std::string trouble = trouble_with(absolute_path(recipe, file));
      if (!trouble.empty()) faults.add(place, fmt::format("{}: {}", key, trouble));
    } catch (const RecipeError& error) {
      faults.add(place, fmt::format("{}: {}", key, error.what()));
    }
  });
  faults.throw_if_any();
}

void resolve(Recipe& recipe) {
  Recipe absolute = recipe;
  for_each_file(absolute, [&recipe](const std::string&, std::string& file) {
    file = absolute_path(recipe, file);
  });
  recipe = std::move(absolute);
}

}  // namespace polyphase::recipe
