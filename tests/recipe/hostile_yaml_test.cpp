// SPDX-License-Identifier: Apache-2.0
// Any bytes give a Recipe or a RecipeError, soon.
#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

TEST(HostileYaml, SyntaxErrorHasItsPlace) {
  EXPECT_NE(faults_of("name: demo\nmodel: {width: 3\nphases: []\n").find("r.yaml:3:"),
            std::string::npos);
  EXPECT_NE(faults_of("name: [1\n").find(": YAML: "), std::string::npos);
}

TEST(HostileYaml, EmptyAndOtherShapesAreRefused) {
  EXPECT_EQ(faults_of(""), "r.yaml:1:1: the recipe is nothing; expected keys and values");
  EXPECT_EQ(faults_of("# a comment\n"),
            "r.yaml:1:1: the recipe is nothing; expected keys and values");
  EXPECT_EQ(faults_of("- a\n"), "r.yaml:1:1: the recipe is a list; expected keys and values");
  EXPECT_EQ(faults_of("word"), "r.yaml:1:1: the recipe is \"word\"; expected keys and values");
}

TEST(HostileYaml, BytesThatAreNotTextAreRefused) {
  EXPECT_EQ(faults_of("name: demo\nseed: \xff\n"),
            "r.yaml:2:7: byte 0xff is not UTF-8 text; save the recipe as UTF-8");
  EXPECT_EQ(faults_of(std::string("na\0me", 5)),
            "r.yaml:1:3: byte 0x00 is not UTF-8 text; save the recipe as UTF-8");
  EXPECT_NE(faults_of("\x89HDF\r\n\x1a\n").find("r.yaml:1:1: byte 0x89"), std::string::npos);
  EXPECT_NE(faults_of("a: \xed\xa0\x80").find("byte 0xed"), std::string::npos);
  EXPECT_NE(faults_of("a: \xc0\x80").find("byte 0xc0"), std::string::npos);
}

TEST(HostileYaml, AliasesAreCopiedIn) {
  std::string text = good_recipe_with("stop: {epochs: 3}", "stop: *budget");
  text.replace(text.find("stop: {steps: 100}"), 18, "stop: &budget {steps: 99}");
  EXPECT_EQ(parse(text, "r.yaml").phases[2].stop.steps, 99);
}

TEST(HostileYaml, AliasesThatMultiplyAreRefused) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i <= 20; ++i) {
    bomb += fmt::format("a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i, i - 1);
  }
  EXPECT_NE(faults_of(bomb).find("more than 20000 values, aliases unfolded"), std::string::npos);
}

TEST(HostileYaml, AnAliasInsideItselfIsRefused) {
  EXPECT_EQ(faults_of("a: &a [*a]\n"),
            "r.yaml:1:8: this alias is inside the value that it stands for");
}

TEST(HostileYaml, DeepNestingIsRefused) {
  EXPECT_NE(
      faults_of("a: " + std::string(100, '[') + std::string(100, ']')).find("levels of lists"),
      std::string::npos);
  EXPECT_NE(faults_of(std::string(500000, '[')), "");
  EXPECT_NE(faults_of(std::string(500000, '{')), "");
  std::string dashes;
  for (int i = 0; i < 100000; ++i) dashes += "- ";
  EXPECT_NE(faults_of(dashes), "");
}

TEST(HostileYaml, TooLongTextIsRefused) {
  EXPECT_NE(faults_of(std::string(2'000'000, 'a')).find("a recipe has at most"), std::string::npos);
}

TEST(HostileYaml, SecondDocumentsTagsAndOddKeysAreRefused) {
  EXPECT_EQ(faults_of(std::string(kGoodRecipe) + "---\nname: again\n"),
            "r.yaml:36:1: a second YAML document; a recipe file holds one");
  EXPECT_NE(faults_of(good_recipe_with("seed: 7", "seed: !!python/object 7")).find("the YAML tag "),
            std::string::npos);
  EXPECT_NE(
      faults_of(good_recipe_with("seed: 7", "[a, b]: 7")).find("expected a key, found a list"),
      std::string::npos);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string mutated(std::mt19937& random, const std::string& good) {
  std::string text = good;
  const auto below = [&random](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  switch (random() % 4) {
    case 0:  // some bytes become others
      for (std::size_t i = 0; i <= below(4); ++i)
        text[below(text.size())] = static_cast<char>(random());
      return text;
    case 1:  // some characters become others that YAML has a meaning for
      for (std::size_t i = 0; i <= below(4); ++i) {
        text[below(text.size())] = "{}[]:,-&*!|>'\"#%@?\n\t 0e"[below(23)];
      }
      return text;
    case 2: {  // a line is gone, or twice there, or elsewhere
      std::vector<std::string> lines = lines_of(good);
      const std::size_t at = below(lines.size());
      const std::string line = lines[at];
      if (random() % 2 == 0) lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(at));
      if (random() % 2 == 0) {
        lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(below(lines.size())), line);
      }
      text.clear();
      for (const std::string& kept : lines) text += kept + "\n";
      return text;
    }
    default:  // the rest is cut off
      return text.substr(0, below(text.size()));
  }
}

TEST(HostileYaml, MutationsOfAGoodRecipeGiveARecipeOrARecipeError) {
  std::mt19937 random(20240601);
  int num_good = 0;
  int num_refused = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string text = mutated(random, kGoodRecipe);
    try {
      const Recipe recipe = parse(text, "r.yaml");
      EXPECT_EQ(resolved(parse(resolved(recipe), "again")), resolved(recipe)) << text;
      ++num_good;
    } catch (const RecipeError& error) {
      EXPECT_EQ(std::string(error.what()).rfind("r.yaml", 0), 0U) << error.what();
      ++num_refused;
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what() << " for\n" << text;
    }
  }
  EXPECT_GT(num_good, 50);
  EXPECT_GT(num_refused, 500);
}

}  // namespace
}  // namespace polyphase::recipe
