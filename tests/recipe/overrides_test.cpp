// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

Recipe good(const std::vector<std::string>& overrides) {
  return parse(kGoodRecipe, "r.yaml", overrides);
}

TEST(RecipeOverrides, ReachEveryKindOfSection) {
  const Recipe recipe =
      good({"seed=3", "run_dir=/tmp/x=y", "checkpoint.every_steps=10", "phases.topic.dropout=0.3",
            "corpora.topics.max_train_samples=100",
            "phases.pretrain.optimizer.schedule.kind=linear", "limits.wall_time=2:00"});
  EXPECT_EQ(recipe.seed, 3U);
  EXPECT_EQ(recipe.run_dir, "/tmp/x=y");
  EXPECT_EQ(recipe.checkpoint.every_steps, 10);
  EXPECT_EQ(recipe.phases[2].dropout, 0.3);
  EXPECT_EQ(recipe.corpora[2].max_train_samples, 100);
  EXPECT_EQ(recipe.phases[0].optimizer.schedule.kind, "linear");
  EXPECT_EQ(recipe.limits.wall_time_seconds, 120);
}

TEST(RecipeOverrides, MakeSectionsThatAreMissing) {
  const Recipe recipe = good({"phases.tags.optimizer.schedule.warmup_steps=9"});
  EXPECT_EQ(recipe.phases[1].optimizer.schedule.warmup_steps, 9);
}

TEST(RecipeOverrides, ValuesAreYaml) {
  const Recipe recipe =
      good({"corpora.text.files=[x.txt, 'y z.txt']", "phases.pretrain.data={text: 2}"});
  EXPECT_EQ(recipe.corpora[0].files, (std::vector<std::string>{"x.txt", "y z.txt"}));
  EXPECT_EQ(recipe.phases[0].data.at("text"), 2.0);
}

TEST(RecipeOverrides, TheLastOneHolds) { EXPECT_EQ(good({"seed=3", "seed=4"}).seed, 4U); }

TEST(RecipeOverrides, StepsReplaceEpochsAndTheOtherWayRound) {
  const Recipe recipe = good({"phases.topic.stop.steps=60", "phases.pretrain.stop.epochs=2"});
  EXPECT_EQ(recipe.phases[2].stop.steps, 60);
  EXPECT_FALSE(recipe.phases[2].stop.epochs.has_value());
  EXPECT_EQ(recipe.phases[0].stop.epochs, 2);
  EXPECT_FALSE(recipe.phases[0].stop.steps.has_value());
}

TEST(RecipeOverrides, TakingStepsOutLeavesEpochsInPlace) {
  const Recipe recipe = good({"phases.pretrain.stop.epochs=2", "phases.pretrain.stop.steps="});
  EXPECT_EQ(recipe.phases[0].stop.epochs, 2);
}

TEST(RecipeOverrides, AnEmptyValueTakesTheKeyOut) {
  const Recipe recipe = good({"phases.topic.from=", "phases.topic.dropout="});
  EXPECT_EQ(recipe.phases[2].from, "");
  EXPECT_FALSE(recipe.phases[2].dropout.has_value());
}

TEST(RecipeOverrides, FaultsNameTheOverride) {
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.pretrain.stop.steps=0"}),
            "--set phases.pretrain.stop.steps: phases.pretrain.stop.steps is \"0\"; expected a "
            "whole number of at least 1");
  EXPECT_EQ(
      faults_of(kGoodRecipe, {"phases.pretrain.stop.step=5"}),
      "--set phases.pretrain.stop.step: unknown key \"step\" in phases.pretrain.stop; did you "
      "mean \"steps\"?");
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.pretain.stop.steps=5"}),
            "--set phases.pretain.stop.steps: phases has nothing called \"pretain\"; did you mean "
            "\"pretrain\"?");
  EXPECT_EQ(faults_of(kGoodRecipe, {"corpora.txt.train=5"}),
            "--set corpora.txt.train: corpora has nothing called \"txt\"; did you mean \"text\"?");
  EXPECT_EQ(faults_of(kGoodRecipe, {"seed.x=5"}), "--set seed.x: seed is \"7\", which has no keys");
  EXPECT_EQ(faults_of(kGoodRecipe, {"phases.tags.from=topic"}),
            "--set phases.tags.from: phases.tags.from names \"topic\", which is not an earlier "
            "phase; move it before \"tags\"");
}

TEST(RecipeOverrides, MalformedOnesAreToldTheForm) {
  for (const char* text : {"seed", "=5", "a..b=1", ".seed=1", "seed.=1", ""}) {
    EXPECT_NE(faults_of(kGoodRecipe, {text}).find(": expected key.path=value, such as "),
              std::string::npos)
        << text;
  }
  EXPECT_NE(faults_of(kGoodRecipe, {"seed=[1"}).find("--set seed: YAML: "), std::string::npos);
}

}  // namespace
}  // namespace polyphase::recipe
