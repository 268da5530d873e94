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
  holds("{values: {phases.topic.dropout: [0.1]}}\n      set: {seed: 2}", "both set and search");
}

}  // namespace
}  // namespace polyphase::recipe
