// SPDX-License-Identifier: Apache-2.0
#include "recipe/search.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "recipe/load.hpp"
#include "recipe/variants.hpp"
#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

std::string with_search(const std::string& search) {
  return std::string(kGoodRecipe) + R"(iterate:
  target: {phase: topic, metric: valid.accuracy, at_least: 0.8}
  strategies:
    - name: rate
      search: )" +
         search + "\n";
}

std::vector<std::string> texts(const std::vector<std::vector<Change>>& trials) {
  std::vector<std::string> all;
  for (const auto& trial : trials) {
    std::string text;
    for (const Change& change : trial) text += (text.empty() ? "" : " ") + change.value;
    all.push_back(text);
  }
  return all;
}

TEST(Search, GridIsEveryCombination) {
  const Search search = {.values = {{"a", "[1, 2]"}, {"b", "[x, [y, z], w]"}}};
  EXPECT_EQ(texts(values_of_trials(search, 1)),
            (std::vector<std::string>{"1 x", "1 [y, z]", "1 w", "2 x", "2 [y, z]", "2 w"}));
}

TEST(Search, DrawsAreKeyedBySeedAndDiffer) {
  const Search search = {.values = {{"a", "[1, 2]"}, {"b", "[5, 6, 7]"}}, .trials = 5};
  const auto drawn = texts(values_of_trials(search, 1));
  EXPECT_EQ(std::set<std::string>(drawn.begin(), drawn.end()).size(), 5U);
  EXPECT_EQ(drawn, texts(values_of_trials(search, 1)));
  EXPECT_NE(drawn, texts(values_of_trials(search, 2)));
  const Search more = {.values = search.values, .trials = 50};
  EXPECT_EQ(values_of_trials(more, 1).size(), 6U);  // there are no more combinations
}

TEST(Search, RangesAreFilledEvenlyOnTheirScale) {
  const Search search = {.values = {{"rate", "{low: 1e-4, high: 1e-2, log: true}"},
                                    {"share", "{low: 0.0, high: 0.5}"},
                                    {"layers", "{low: 2, high: 4}"}},
                         .trials = 200};
  int below = 0, low_share = 0;
  std::map<std::string, int> layers;
  for (const auto& trial : values_of_trials(search, 3)) {
    const double rate = std::stod(trial[0].value), share = std::stod(trial[1].value);
    EXPECT_TRUE(rate >= 1e-4 && rate <= 1e-2 && share >= 0 && share <= 0.5);
    below += rate < 1e-3 ? 1 : 0;
    low_share += share < 0.25 ? 1 : 0;
    ++layers[trial[2].value];
  }
  EXPECT_NEAR(below, 100, 36);  // five standard deviations
  EXPECT_NEAR(low_share, 100, 36);
  EXPECT_EQ(layers.size(), 3U);
  for (const auto& [text, count] : layers) EXPECT_NEAR(count, 67, 34) << text;
}

TEST(Search, EarlierRungsHaveAShareOfTheStepsOfThePhasesThatAreTouched) {
  const Recipe recipe =
      parse(with_search("{values: {phases.topic.dropout: [0.1, 0.2, 0.3]}, rungs: "
                        "3, keep_one_in: 2}"),
            "r.yaml");
  const std::vector<Strategy> all = all_strategies(recipe);
  ASSERT_EQ(all.size(), 9U);
  EXPECT_EQ(all[1].name, "rate: trial 2 of 3, rung 1 of 3");
  EXPECT_TRUE(all[1].is_preliminary());
  EXPECT_FALSE(all[7].is_preliminary());
  const Recipe whole = variant_of(recipe, {});
  const Recipe first = variant_of(recipe, {.strategies = {all[1].name}, .gates = {}});
  const Recipe last = variant_of(recipe, {.strategies = {all[7].name}, .gates = {}});
  EXPECT_EQ(first.phases[2].dropout, 0.2);
  EXPECT_EQ(last.phases[2].dropout, 0.2);
  EXPECT_EQ(last.phases[2].stop.epochs, whole.phases[2].stop.epochs);
  EXPECT_EQ(first.phases[2].stop.epochs.value_or(0),
            std::max(1L, std::lround(static_cast<double>(*whole.phases[2].stop.epochs) / 4)));
  EXPECT_EQ(first.phases[0].stop.steps, whole.phases[0].stop.steps);
  const Search& search = *recipe.iterate->strategies[0].search;
  EXPECT_EQ(trials_on_rung(search, 9, 0), 9);
  EXPECT_EQ(trials_on_rung(search, 9, 1), 5);
  EXPECT_EQ(trials_on_rung(search, 9, 2), 3);
}

TEST(Search, ResolvedRecipeIsReadBack) {
  const std::string text = with_search(
      "{values: {phases.topic.optimizer.learning_rate: {low: 1e-4, high: 1e-3, log: "
      "true}}, trials: 3}");
  const Recipe recipe = parse(text, "r.yaml");
  const Recipe again = parse(resolved(recipe), "again.yaml");
  EXPECT_EQ(resolved(again), resolved(recipe));
  EXPECT_EQ(texts(values_of_trials(*again.iterate->strategies[0].search, again.seed)),
            texts(values_of_trials(*recipe.iterate->strategies[0].search, recipe.seed)));
}

std::string fault_of(const std::string& search) {
  try {
    parse(with_search(search), "r.yaml");
  } catch (const RecipeError& error) {
    return error.what();
  }
  return "";
}

TEST(Search, FaultsAreToldBeforeAnythingRuns) {
  const auto holds = [](const std::string& search, const std::string& words) {
    const std::string fault = fault_of(search);
    EXPECT_NE(fault.find(words), std::string::npos) << search << "\n" << fault;
  };
  holds("{values: {phases.topic.dropout: 0.1}}", "expected a list of values, or {low");
  holds("{values: {phases.topic.dropout: {low: 0.1, high: 0.3}}}", "say how many trials to draw");
  holds("{values: {phases.topic.dropout: {low: 0.3, high: 0.1}}, trials: 2}",
        "expected low below high");
  holds("{values: {phases.topic.dropout: {low: 0.0, high: 0.1, log: true}}, trials: 2}",
        "both above 0");
  holds("{values: {phases.topic.dropout: {low: 0.1, high: 0.3, step: 2}}, trials: 2}",
        "a range has low, high and log");
  holds("{values: {phases.topic.dropout: [0.1, 1.5]}}", "phases.topic.dropout");
  holds("{values: {phases.topci.dropout: [0.1]}}", "did you mean \"topic\"?");
  holds("{values: {tokenizer.vocab_size: [100]}}", "a strategy cannot change tokenizer");
  holds("{values: {phases.topic.stop.epochs: [1, 2]}, rungs: 2}", "decides over stop itself");
  holds("{values: {phases.topic.dropout: [0.1, 0.2]}, rungs: 4}",
        "phase \"topic\" has 3 epochs: too few for a share on every rung");
  holds("{values: {phases.topic.dropout: [0.1]}, trials: 201}", "more than 200 trials");
  holds("{values: {}}", "names no key");
  holds("{values: {phases.topic.dropout: [0.1]}, ranks_per_trial: 3}",
        "r.yaml:39:72: iterate.strategies.rate.search.ranks_per_trial is 3, no multiple of "
        "parallel.tensor, which is 2; 4 would fit");
  holds("{values: {phases.topic.dropout: [0.1]}}\n      set: {seed: 2}", "both set and search");
}

std::string layout_fault(const std::string& ranks_per_trial, std::int64_t num_ranks) {
  try {
    const Recipe recipe =
        parse(with_search("{values: {phases.topic.dropout: [0.1, 0.2]}, ranks_per_trial: 2}"),
              "r.yaml", {"iterate.strategies.rate.search.ranks_per_trial=" + ranks_per_trial});
    check_strategy_layouts(recipe, num_ranks);
  } catch (const RecipeError& error) {
    return error.what();
  }
  return "";
}

TEST(Search, RanksOfATrialDivideThoseOfTheJob) {
  EXPECT_EQ(layout_fault("0", 4), "");
  EXPECT_EQ(layout_fault("2", 2), "");
  EXPECT_EQ(layout_fault("2", 8), "");
  EXPECT_EQ(layout_fault("8", 8), "");
  EXPECT_EQ(layout_fault("4", 2),
            "--set iterate.strategies.rate.search.ranks_per_trial: "
            "iterate.strategies.rate.search.ranks_per_trial is 4; of 2 ranks in groups of "
            "parallel.tensor 2 a trial may have 0 or 2 (0: all, one trial after the other)");
  EXPECT_NE(layout_fault("6", 8).find("may have 0, 2, 4 or 8"), std::string::npos);
}

TEST(Search, JobOfTheTargetHasRanksThatFitAllPhasesOfItsTrials) {
  const auto fault = [](const std::string& values, const std::string& ranks_per_trial,
                        const std::string& only) -> std::string {
    try {
      check_strategy_layouts(
          parse(with_search("{values: {" + values + "}, ranks_per_trial: " + ranks_per_trial + "}"),
                "r.yaml", {"phases.tags.batch={sequences: 8, micro_batch: 4}"}),
          8, only);
    } catch (const RecipeError& error) {
      return error.what();
    }
    return "";
  };
  const std::string tags = "phases.tags.dropout: [0.1, 0.2]";
  EXPECT_EQ(fault(tags, "0", "topic"), "");
  EXPECT_EQ(fault("phases.topic.dropout: [0.1, 0.2]", "2", "topic"), "");
  EXPECT_EQ(
      fault(tags, "2", "topic"),
      "r.yaml:38:5: strategy \"rate: trial 1 of 2\": demo: phases.tags.batch.sequences is 8, "
      "which 4 data-parallel ranks × micro-batch 4 do not divide; 16 sequences would fit, or 1 "
      "or 2 data-parallel ranks; with ranks_per_trial the job of phase \"topic\" trains all "
      "phases of its trials, on its 8 ranks");
}

TEST(Search, MadeCorporaAreNotForTrialsSideBySide) {
  const std::string text = R"(name: translation
tokenizer: {vocab_size: 500}
corpora:
  captions: {kind: generation, train: [a.en, a.de], valid: [v.en, v.de]}
  reversed: {kind: generation, train: [a.de, a.en]}
  german: {kind: text, files: [mono.de], valid_fraction: 0}
  made: {kind: generation, made_by: write}
model: {family: t5, num_layers: 2, width: 32, num_heads: 4, max_tokens: 64}
phases:
  - {name: back, task: {kind: generation}, data: {reversed: 1.0}, stop: {epochs: 1}}
  - {name: write, from: back, generate: {of: german}}
  - {name: forth, task: {kind: generation}, data: {captions: 1.0, made: 1.0}, stop: {epochs: 1}}
iterate:
  target: {phase: forth, metric: valid.loss, at_most: 1}
  strategies:
    - {name: rate, search: {values: {phases.forth.dropout: [0.1, 0.2]}, ranks_per_trial: RANKS}}
)";
  const auto fault = [&](const std::string& ranks) {
    std::string with = text;
    return faults_of(with.replace(with.find("RANKS"), 5, ranks));
  };
  EXPECT_EQ(fault("0"), "");
  EXPECT_NE(fault("1").find("phase \"forth\" trains on a corpus that another phase makes"),
            std::string::npos);
}

TEST(Search, RunMayGoOnWithOtherRanksPerTrial) {
  const auto with = [](const std::string& ranks) {
    return parse(
        with_search("{values: {phases.topic.dropout: [0.1, 0.2]}, ranks_per_trial: " + ranks + "}"),
        "r.yaml");
  };
  EXPECT_EQ(recipe_hash(with("2")), recipe_hash(with("0")));
  EXPECT_TRUE(differences(resolved(with("2")), resolved(with("0"))).empty());
  EXPECT_EQ(parse(resolved(with("2")), "again.yaml").iterate->strategies[0].search->ranks_per_trial,
            2);
}

}  // namespace
}  // namespace polyphase::recipe
