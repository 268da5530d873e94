// SPDX-License-Identifier: Apache-2.0
#include "recipe/optimizers.hpp"

#include <gtest/gtest.h>

#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

const std::string kPath = "phases.pretrain.optimizer";

Optimizer optimizer_of(const std::vector<std::string>& overrides) {
  return parse(kGoodRecipe, "r.yaml", overrides).phases[0].optimizer;
}

TEST(OptimizerSection, EveryKindIsReadWithItsOwnDefaults) {
  for (const std::string& kind : optimizer_names()) {
    const Optimizer optimizer = optimizer_of({kPath + "={kind: " + kind + "}"});
    const Optimizer defaults = optimizer_defaults(kind);
    EXPECT_EQ(optimizer.kind, kind);
    EXPECT_EQ(optimizer.learning_rate, defaults.learning_rate) << kind;
    EXPECT_EQ(optimizer.weight_decay, defaults.weight_decay) << kind;
    EXPECT_EQ(optimizer.beta2, defaults.beta2) << kind;
    EXPECT_EQ(optimizer.momentum, defaults.momentum) << kind;
  }
  EXPECT_EQ(optimizer_of({kPath + ".kind=lion"}).beta2, 0.99);
  EXPECT_EQ(optimizer_of({kPath + ".kind=lion", kPath + ".beta2=0.95"}).beta2, 0.95);
}

TEST(OptimizerSection, KeysOfAnotherKindAreFaults) {
  EXPECT_NE(faults_of(kGoodRecipe, {kPath + "={kind: adafactor, beta1: 0.9}"})
                .find("unknown key \"beta1\" in phases.pretrain.optimizer"),
            std::string::npos);
  EXPECT_NE(faults_of(kGoodRecipe, {kPath + "={kind: adam, nesterov: true}"})
                .find("unknown key \"nesterov\""),
            std::string::npos);
  EXPECT_NE(faults_of(kGoodRecipe, {kPath + ".schedule={kind: linear, cycles: 2}"})
                .find("unknown key \"cycles\""),
            std::string::npos);
  EXPECT_EQ(faults_of(kGoodRecipe, {kPath + ".schedule={kind: wsd, decay_fraction: 0.2}"}), "");
}

TEST(OptimizerSection, UnknownKindIsToldWithAllKinds) {
  EXPECT_NE(faults_of(kGoodRecipe, {kPath + ".kind=adagrad"})
                .find("expected sgd, adam, adamw, lamb, adafactor, lion or muon"),
            std::string::npos);
}

// Patterns begin with what YAML takes for an alias.
TEST(OptimizerSection, ResolvedGroupsAndPatternsLoadAgain) {
  const Recipe recipe =
      parse(kGoodRecipe, "r.yaml",
            {kPath + ".groups={tops: {match: ['*.norm.*', '?x*'], weight_decay: 0}, "
                     "all: {match: '*', learning_rate_scale: 0.5}}",
             "phases.tags.freeze=['*.bias', 'embedding*']",
             "phases.topic.unfreeze={from_top: 2, every_steps: 30}"});
  const std::string text = resolved(recipe);
  const Recipe again = parse(text, "resolved");
  EXPECT_EQ(resolved(again), text);
  const std::vector<ParameterGroup>& groups = again.phases[0].optimizer.groups;
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].name, "tops");  // the order counts
  EXPECT_EQ(groups[0].match, (std::vector<std::string>{"*.norm.*", "?x*"}));
  EXPECT_EQ(groups[0].weight_decay, 0.0);
  EXPECT_EQ(groups[1].learning_rate_scale, 0.5);
  EXPECT_FALSE(groups[1].weight_decay.has_value());
  EXPECT_EQ(again.phases[1].freeze, (std::vector<std::string>{"*.bias", "embedding*"}));
  ASSERT_TRUE(again.phases[2].unfreeze.has_value());
  EXPECT_EQ(again.phases[2].unfreeze->every_steps, 30);
}

TEST(OptimizerSection, GroupWithoutPatternsAndUnfreezeWithoutStepsAreFaults) {
  EXPECT_NE(faults_of(kGoodRecipe, {kPath + ".groups={norms: {weight_decay: 0}}"})
                .find("lacks the key \"match\""),
            std::string::npos);
  EXPECT_NE(faults_of(kGoodRecipe, {"phases.tags.unfreeze={from_top: 1}"})
                .find("lacks the key \"every_steps\""),
            std::string::npos);
}

}  // namespace
}  // namespace polyphase::recipe
