// SPDX-License-Identifier: Apache-2.0
// Faults of single keys: each with its place, what was expected, and the nearest key.
#include <gtest/gtest.h>

#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

TEST(RecipeFaults, AGoodRecipeHasNone) { EXPECT_EQ(faults_of(kGoodRecipe), ""); }

TEST(RecipeFaults, UnknownKeyNamesTheNearest) {
  EXPECT_EQ(faults_of(good_recipe_with("learning_rate", "learning_rat")),
            "r.yaml:19:7: unknown key \"learning_rat\" in phases.pretrain.optimizer; did you mean "
            "\"learning_rate\"?");
}

TEST(RecipeFaults, UnknownKeyWithoutANearOneListsTheKeysThere) {
  EXPECT_EQ(
      faults_of(good_recipe_with("keep: 2", "colour: red")),
      "r.yaml:3:31: unknown key \"colour\" in checkpoint; the keys there are every_steps, keep, "
      "keep_best");
}

TEST(RecipeFaults, DuplicateKeyNamesBothPlaces) {
  EXPECT_EQ(faults_of(good_recipe_with("seed: 7", "name: other")),
            "r.yaml:2:1: duplicate key \"name\"; it stands at r.yaml:1:1 already");
}

TEST(RecipeFaults, NumberOutOfRangeIsToldItsRange) {
  EXPECT_EQ(faults_of(good_recipe_with("5e-4", "-1")),
            "r.yaml:19:22: phases.pretrain.optimizer.learning_rate is \"-1\"; expected a number "
            "greater than 0");
  EXPECT_EQ(faults_of(good_recipe_with("dropout: 0.2", "dropout: 1")),
            "r.yaml:32:14: phases.topic.dropout is \"1\"; expected a number from 0 to below 1");
  EXPECT_EQ(faults_of(good_recipe_with("sequences: 64", "sequences: 0")),
            "r.yaml:17:24: phases.pretrain.batch.sequences is \"0\"; expected a whole number of at "
            "least 1");
  EXPECT_EQ(
      faults_of(good_recipe_with("dropout: 0.2", "mask_fraction: 0")),
      "r.yaml:32:20: phases.topic.mask_fraction is \"0\"; expected a number above 0 and below "
      "1");
  EXPECT_EQ(faults_of(good_recipe_with("width: 32", "width: 4000000000000")),
            "r.yaml:9:31: model.width is \"4000000000000\"; expected a whole number of at most "
            "1000000000000");
}

TEST(RecipeFaults, WrongTypeIsToldTheExpectedOne) {
  EXPECT_EQ(faults_of(good_recipe_with("seed: 7", "seed: seven")),
            "r.yaml:2:7: seed is \"seven\"; expected a whole number from 0 to "
            "18446744073709551615");
  EXPECT_EQ(faults_of(good_recipe_with("num_layers: 2", "num_layers: 2.5")),
            "r.yaml:9:21: model.num_layers is \"2.5\"; expected a whole number of at least 1");
  EXPECT_EQ(faults_of(good_recipe_with("seed: 7", "parallel: 3\nseed: 7")),
            "r.yaml:2:11: parallel is \"3\"; expected keys and values\n"
            "r.yaml:11:1: duplicate key \"parallel\"; it stands at r.yaml:2:1 already");
  EXPECT_EQ(faults_of(good_recipe_with("[a.txt, b.txt]", "{a: 1}")),
            "r.yaml:6:29: corpora.text.files is keys and values; expected a list of texts");
  EXPECT_EQ(faults_of(good_recipe_with("b.txt]", "[b.txt]]")),
            "r.yaml:6:37: corpora.text.files[1] is a list; expected a text");
  EXPECT_EQ(faults_of(good_recipe_with("kind: bpe", "lowercase: yes")),
            "r.yaml:4:24: tokenizer.lowercase is \"yes\"; expected true or false");
  EXPECT_EQ(faults_of(good_recipe_with("nsp: 0.5", "nsp: heavy")),
            "r.yaml:15:33: phases.pretrain.objectives.nsp is \"heavy\"; expected a weight greater "
            "than 0");
}

TEST(RecipeFaults, UnknownWordIsToldTheWords) {
  EXPECT_EQ(faults_of(good_recipe_with("kind: bpe", "kind: bpee")),
            "r.yaml:4:19: tokenizer.kind is \"bpee\"; expected unigram, bpe, word or char");
  EXPECT_EQ(faults_of(good_recipe_with("precision: bf16", "precision: fp8")),
            "r.yaml:11:12: precision is \"fp8\"; expected f32 or bf16");
  EXPECT_EQ(faults_of(good_recipe_with("precision: bf16", "recompute: all")),
            "r.yaml:11:12: recompute is \"all\"; expected none, selective or full");
}

TEST(RecipeFaults, BadDurationIsToldTheForms) {
  EXPECT_EQ(faults_of(good_recipe_with("1:30:00", "1:75:00")),
            "r.yaml:12:21: limits.wall_time is \"1:75:00\"; expected seconds, MM:SS or HH:MM:SS");
}

TEST(RecipeFaults, MissingKeysAreNamed) {
  EXPECT_EQ(faults_of(good_recipe_with("name: demo\n", "")),
            "r.yaml:1:1: the recipe lacks the key \"name\": a run goes by its name");
  EXPECT_EQ(faults_of(good_recipe_with("    stop: {steps: 100}\n", "")),
            "r.yaml:14:5: phases.pretrain lacks the key \"stop\": steps or epochs");
  EXPECT_EQ(
      faults_of(good_recipe_with("metric: valid.f1", "patience: 3")),
      "r.yaml:27:30: phases.tags.stop.early lacks the key \"metric\": for instance valid.loss");
}

TEST(RecipeFaults, UnsafeNamesAreRefused) {
  EXPECT_EQ(faults_of(good_recipe_with("name: demo", "name: ../demo")),
            "r.yaml:1:7: name: the name \"../demo\" cannot be a folder's; use up to 64 letters, "
            "digits, - and _, a letter or digit first");
  EXPECT_NE(faults_of(good_recipe_with("  text: {kind", "  te/xt: {kind"))
                .find("r.yaml:6:3: corpora: "
                      "the name \"te/xt\""),
            std::string::npos);
}

TEST(RecipeFaults, AllAreListedInTheOrderOfTheFile) {
  std::string text = good_recipe_with("seed: 7", "sed: 7");
  text.replace(text.find("kind: bpe"), 9, "kind: bpp");
  text.replace(text.find("width: 32"), 9, "width: 33");
  text.replace(text.find("from: tags"), 10, "from: tag ");
  text.replace(text.find("epochs: 3"), 9, "epochs: x");
  EXPECT_EQ(
      faults_of(text, {"phases.topic.dropout=2", "nothing"}),
      "r.yaml:2:1: unknown key \"sed\" in the recipe; did you mean \"seed\"?\n"
      "r.yaml:4:19: tokenizer.kind is \"bpp\"; expected unigram, bpe, word or char\n"
      "r.yaml:9:46: model.width is 33, which 4 heads do not divide; a width of 36 fits\n"
      "r.yaml:29:11: phases.topic.from names no phase \"tag\"; did you mean \"tags\"?\n"
      "r.yaml:34:20: phases.topic.stop.epochs is \"x\"; expected a whole number of at least "
      "1\n"
      "--set nothing: expected key.path=value, such as phases.pretrain.stop.steps=60\n"
      "--set phases.topic.dropout: phases.topic.dropout is \"2\"; expected a number from 0 to "
      "below 1");
}

TEST(RecipeFaults, ManyAreCutAfterAHundred) {
  std::string text = kGoodRecipe;
  for (int i = 0; i < 150; ++i) text += "key" + std::to_string(i) + ": 1\n";
  EXPECT_NE(faults_of(text).find("\n… and 50 more faults"), std::string::npos);
}

TEST(RecipeFaults, LongAndUnprintableTextIsShortened) {
  const std::string word(100000, 'x');
  const std::string message = faults_of(good_recipe_with("keep", word));
  EXPECT_LT(message.size(), 250U);
  EXPECT_NE(faults_of(good_recipe_with("kind: bpe", "kind: \"a\\x01b\"")).find("is \"a\\x01b\""),
            std::string::npos);
}

}  // namespace
}  // namespace polyphase::recipe
