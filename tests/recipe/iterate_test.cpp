// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "recipe/variants.hpp"
#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

const char* const kIterate = R"(iterate:
  target: {phase: topic, metric: valid.accuracy, at_least: 0.8}
  max_rounds: 4
  strategies:
    - {name: longer, when: underfitting, set: {phases.pretrain.stop.steps: 200}}
    - {name: wider, when: valid.accuracy < 0.5, set: {model.width: 64, phases.tags.stop.steps: 9}}
    - {name: straight, set: {phases.topic.from: pretrain}}
)";

// The good recipe with the section, some text of which is replaced.
std::string iterating(const std::string& old_text = "", const std::string& new_text = "") {
  std::string text = std::string(kGoodRecipe) + kIterate;
  if (old_text.empty()) return text;
  const std::size_t at = text.rfind(old_text);
  POLYPHASE_PROMISE(at != std::string::npos, "no {}", old_text);
  return text.replace(at, old_text.size(), new_text);
}

std::string gated() {
  std::string text = iterating();
  const std::string before = "    task: {kind: tagging}\n";
  text.insert(text.find(before), "    gate: {margin: 0.02}\n");
  return text;
}

TEST(Iterate, ResolvedRecipeReadsBackAsTheSame) {
  const Recipe recipe = parse(gated(), "r.yaml");
  ASSERT_TRUE(recipe.iterate);
  EXPECT_EQ(recipe.iterate->strategies.at(1).set.at(1).value, "9");
  const std::string text = resolved(recipe);
  EXPECT_EQ(resolved(parse(text, "again.yaml")), text);
}

TEST(Iterate, VariantHasTheStrategysValues) {
  const Recipe recipe = parse(iterating(), "r.yaml");
  const Recipe longer = variant_of(recipe, {.strategies = {"longer"}, .gates = {}});
  EXPECT_EQ(longer.phases[0].stop.steps, 200);
  EXPECT_FALSE(longer.iterate);
  EXPECT_NE(phase_hash(longer, 0), phase_hash(recipe, 0));
  const Recipe straight = variant_of(recipe, {.strategies = {"longer", "straight"}, .gates = {}});
  EXPECT_EQ(straight.phases[2].from, "pretrain");
  EXPECT_EQ(phase_hash(straight, 0), phase_hash(longer, 0));
  EXPECT_EQ(road_to(straight, "topic"), (std::vector<std::size_t>{0, 2}));
  const Recipe wider = variant_of(recipe, {.strategies = {"wider"}, .gates = {}});
  EXPECT_EQ(wider.phases[1].stop.steps, 9);
  EXPECT_FALSE(wider.phases[1].stop.epochs);
}

TEST(Iterate, NeitherIterateNorGatesBelongToAPhasesHash) {
  const Recipe plain = parse(kGoodRecipe, "r.yaml"), all = parse(gated(), "r.yaml");
  for (std::size_t p = 0; p < plain.phases.size(); ++p)
    EXPECT_EQ(phase_hash(plain, p), phase_hash(all, p));
  EXPECT_NE(recipe_hash(plain), recipe_hash(all));
}

TEST(Iterate, BudgetMayGrowInARunThatGoesOn) {
  const Recipe few = parse(iterating(), "r.yaml");
  const Recipe more = parse(iterating("max_rounds: 4", "max_rounds: 9\n  max_hours: 1"), "r.yaml");
  EXPECT_EQ(recipe_hash(few), recipe_hash(more));
  EXPECT_TRUE(differences(resolved(few), resolved(more)).empty());
}

TEST(Iterate, GatedPhaseIsPassedUntilItIsOnTheRoad) {
  const Recipe recipe = parse(gated(), "r.yaml");
  EXPECT_EQ(gated_phases(recipe), std::vector<std::string>{"tags"});
  EXPECT_EQ(variant_of(recipe, {}).phases[2].from, "pretrain");
  EXPECT_EQ(variant_of(recipe, {.strategies = {}, .gates = {"tags"}}).phases[2].from, "tags");
}

// The target's phase on two corpora.
std::string on_two_corpora(const std::string& metric, const std::string& strategy = "") {
  std::string text = iterating("valid.accuracy, at", metric + ", at");
  const auto replace = [&text](const std::string& old_text, const std::string& new_text) {
    text.replace(text.find(old_text), old_text.size(), new_text);
  };
  replace("data: {topics: 1.0}", "data: {topics: 1.0, more: 1.0}");
  replace("model: {", "  more: {kind: classification, train: m.tsv, valid: n.tsv}\nmodel: {");
  if (!strategy.empty()) replace("phases.topic.from: pretrain", strategy);
  return text;
}

TEST(Iterate, TargetMayBeTheMetricOfOneCorpus) {
  EXPECT_EQ(faults_of(on_two_corpora("valid.accuracy")), "");
  EXPECT_EQ(faults_of(on_two_corpora("valid.more.accuracy")), "");
  const std::string unknown = faults_of(on_two_corpora("valid.tags.accuracy"));
  EXPECT_NE(
      unknown.find("names no metric \"valid.tags.accuracy\" of phase \"topic\"; did you mean "),
      std::string::npos)
      << unknown;
  const std::string far = faults_of(on_two_corpora("valid.perplexity"));
  for (const char* known : {"valid.accuracy", "valid.more.accuracy", "valid.topics.loss"})
    EXPECT_NE(far.find(known), std::string::npos) << far;
  const std::string dropped =
      faults_of(on_two_corpora("valid.more.accuracy", "phases.topic.data: {topics: 1.0}"));
  EXPECT_NE(dropped.find("strategy \"straight\": iterate.target.metric names no metric "
                         "\"valid.more.accuracy\""),
            std::string::npos)
      << dropped;
}

struct BadIterate {
  const char* old_text;
  const char* new_text;
  const char* fault;
};

TEST(Iterate, FaultsAreToldWithPlaceAndNearestName) {
  for (const BadIterate& bad : {
           BadIterate{"phase: topic", "phase: topics",
                      "r.yaml:36:19: iterate.target.phase names no phase \"topics\"; did you mean "
                      "\"topic\"?"},
           {"valid.accuracy, at", "valid.acuracy, at", "did you mean \"valid.accuracy\"?"},
           {"valid.accuracy, at", "test.accuracy, at", "names no metric \"test.accuracy\""},
           {", at_least: 0.8", "", "neither at_least nor at_most"},
           {"at_least: 0.8", "at_least: 0.8, at_most: 1", "both at_least and at_most"},
           {"when: underfitting", "when: underfiting",
            "is neither a metric such as valid.loss or PHASE.valid.loss; did you mean "
            "\"underfitting\"?"},
           {"when: underfitting", "when: pretrian.plateau", "did you mean \"pretrain\"?"},
           {"when: underfitting", "when: test.accuracy > 0.5",
            "looks at the test part; decisions are made on valid"},
           {"when: underfitting", "when: tags.valid.f2 > 0.5", "did you mean \"valid.f1\"?"},
           {"valid.accuracy < 0.5", "valid.accuracy <", "expected a metric, a number or a word at"},
           {"valid.accuracy < 0.5", "valid.accuracy 0.5", "instead of \"0.5\""},
           {"set: {phases.topic.from", "set: {phases.topci.from",
            "r.yaml:41:30: strategy \"straight\": phases has nothing called \"topci\"; did you "
            "mean \"topic\"?"},
           {"phases.topic.from: pretrain", "phases.topic.form: pretrain",
            "unknown key \"form\" in phases.topic; did you mean \"from\"?"},
           {"phases.topic.from: pretrain", "phases.topic.dropout: 2", "expected a number from 0"},
           {"model.width: 64", "model.width: 66", "which 4 heads do not divide"},
           {"phases.topic.from: pretrain", "phases.topic.task.kind: tagging",
            "strategy \"straight\""},
           {"phases.topic.from: pretrain", "corpora.tags.train: x",
            "a strategy cannot change corpora; it may change seed, model, precision or phases"},
           {"phases.topic.from: pretrain", "phases.topic.name: other",
            "a strategy cannot change a phase's name"},
           {"name: wider", "name: longer", "another strategy is called \"longer\" already"},
           {"max_rounds", "max_round", "unknown key \"max_round\" in iterate"},
       }) {
    const std::string faults = faults_of(iterating(bad.old_text, bad.new_text));
    EXPECT_NE(faults.find(bad.fault), std::string::npos)
        << bad.new_text << "\nexpected: " << bad.fault << "\ntold: " << faults;
  }
}

TEST(Iterate, EveryStrategysFaultsAreToldAtOnce) {
  std::string text = iterating("model.width: 64", "model.width: 66");
  text.replace(text.rfind("phases.topic.from: pretrain"), 27, "phases.topic.dropout: 2   ");
  const std::string faults = faults_of(text);
  EXPECT_NE(faults.find("strategy \"wider\""), std::string::npos) << faults;
  EXPECT_NE(faults.find("strategy \"straight\""), std::string::npos) << faults;
}

TEST(Iterate, GatesNeedATargetThatJudgesThem) {
  std::string alone = gated().substr(0, gated().find("iterate:"));
  EXPECT_NE(faults_of(alone).find("phases.tags.gate needs the section iterate"), std::string::npos);
  const std::string text = gated();
  std::string off_road = text;
  const std::string from = "    from: tags\n";
  off_road.replace(off_road.find(from), from.size(), "    from: pretrain\n");
  EXPECT_NE(faults_of(off_road).find("is of a phase that \"topic\" does not come from"),
            std::string::npos);
}

TEST(Iterate, LayoutIsCheckedForEveryStrategy) {
  const Recipe recipe = parse(
      iterating("phases.topic.from: pretrain", "phases.topic.batch.micro_batch: 32"), "r.yaml");
  check_layout(recipe, 8);
  EXPECT_NO_THROW(check_strategy_layouts(recipe, 2));
  try {
    check_strategy_layouts(recipe, 8);
    FAIL();
  } catch (const RecipeError& error) {
    EXPECT_NE(std::string(error.what()).find("strategy \"straight\""), std::string::npos);
  }
}

}  // namespace
}  // namespace polyphase::recipe
