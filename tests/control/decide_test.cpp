// SPDX-License-Identifier: Apache-2.0
#include "control/decide.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "control/ahead.hpp"
#include "control/verdict.hpp"
#include "tests/recipe/good_recipe.hpp"

namespace polyphase {
namespace {

const char* const kIterate = R"(iterate:
  target: {phase: topic, metric: valid.accuracy, at_least: 0.8}
  margin: 0.01
  max_rounds: 4
  strategies:
    - {name: longer, when: underfitting, set: {phases.pretrain.stop.steps: 200}}
    - {name: dropout, when: overfitting or pretrain.plateau, set: {phases.topic.dropout: 0.3}}
    - {name: straight, set: {phases.topic.from: pretrain}}
)";

recipe::Recipe iterating(const std::string& more = "") {
  return recipe::parse(std::string(recipe::kGoodRecipe) + kIterate + more, "r.yaml");
}

recipe::Recipe gated() {
  std::string text = std::string(recipe::kGoodRecipe) + kIterate;
  const std::string before = "    task: {kind: tagging}\n";
  text.insert(text.find(before), "    gate: {margin: 0.02}\n");
  return recipe::parse(text, "r.yaml");
}

// A run in which every round so far was judged.
class Decide : public testing::Test {
 protected:
  void begin(const recipe::Recipe& recipe, double score) {
    recipe_ = recipe;
    journal_.rounds = {first_round(recipe_)};
    judge_last(score, true);
  }
  void judge_last(double score, bool kept) {
    journal_.rounds.back().verdict = Verdict{.kept = kept, .score = score};
  }
  // The next round, judged; its name, or "" when it ended.
  std::string go(double score, bool kept) {
    const NextRound next = next_round(recipe_, journal_, facts_);
    end_ = next.end;
    last_ = next.considered;
    if (!next.round) return "";
    journal_.rounds.push_back(*next.round);
    judge_last(score, kept);
    return next.round->adds;
  }
  std::vector<std::string> own_phases() const {
    std::vector<std::string> names;
    for (const PhaseUse& use : journal_.rounds.back().phases) {
      if (use.round == journal_.rounds.back().number) names.push_back(use.name);
    }
    return names;
  }
  void hold(const std::string& phase, const std::string& word) { facts_.measured[phase][word] = 1; }

  recipe::Recipe recipe_;
  Journal journal_;
  Facts facts_;
  std::string end_;
  std::vector<Considered> last_;
};

TEST_F(Decide, FirstRoundTrainsEveryPhase) {
  begin(iterating(), 0.5);
  EXPECT_EQ(own_phases(), (std::vector<std::string>{"pretrain", "tags", "topic"}));
  EXPECT_EQ(journal_.rounds[0].phases[1].folder, "round-1/02-tags");
}

recipe::Recipe searching(const std::string& when) {
  const std::string strategy =
      "    - {name: dropout search, when: '" + when +
      "', search: {values: {phases.topic.dropout: [0.1, 0.25, 0.3, 0.4]}, rungs: 2}}\n"
      "    - {name: behind, set: {phases.topic.from: pretrain}}\n";
  std::string text = std::string(recipe::kGoodRecipe) + kIterate;
  text.erase(text.find("    - {name: longer"));
  text.replace(text.find("max_rounds: 4"), 13, "max_rounds: 20");
  return recipe::parse(text + strategy, "r.yaml");
}

TEST_F(Decide, SearchKeepsTheBetterHalfOfItsTrialsForTheNextRung) {
  begin(searching("overfitting"), 0.5);
  hold("topic", "overfitting");
  EXPECT_EQ(go(0.3, false), "dropout search: trial 1 of 4, rung 1 of 2");
  facts_.measured.clear();  // what has begun goes on to its end
  EXPECT_EQ(go(0.4, false), "dropout search: trial 2 of 4, rung 1 of 2");
  EXPECT_EQ(go(std::nan(""), false), "dropout search: trial 3 of 4, rung 1 of 2");
  EXPECT_EQ(go(0.35, false), "dropout search: trial 4 of 4, rung 1 of 2");
  EXPECT_EQ(go(0.6, true), "dropout search: trial 2 of 4, rung 2 of 2");
  EXPECT_EQ(journal_.rounds.back().parent, 1);
  EXPECT_EQ(go(0.55, false), "dropout search: trial 4 of 4, rung 2 of 2");
  EXPECT_EQ(journal_.rounds.back().parent, 6);
  EXPECT_EQ(go(0.5, false), "behind");
  EXPECT_EQ(go(0.5, false), "");
  EXPECT_EQ(end_, "no strategy is left");
}

std::vector<std::string> names_of(const std::vector<Round>& rounds) {
  std::vector<std::string> names;
  for (const Round& round : rounds) names.push_back(round.adds);
  return names;
}

TEST_F(Decide, TrialsAheadAreThoseThatAreDecidedOneAfterTheOther) {
  begin(searching("overfitting"), 0.5);
  hold("topic", "overfitting");
  EXPECT_TRUE(trials_ahead(recipe_, journal_, facts_, 9).empty());  // nothing is to be trained
  go(0.3, false);
  EXPECT_TRUE(trials_ahead(recipe_, journal_, facts_, 9).empty());  // judged
  journal_.rounds.back().verdict.reset();
  facts_.measured.clear();
  const std::vector<Round> ahead = trials_ahead(recipe_, journal_, facts_, 9);
  EXPECT_EQ(names_of(ahead),
            (std::vector<std::string>{"dropout search: trial 2 of 4, rung 1 of 2",
                                      "dropout search: trial 3 of 4, rung 1 of 2",
                                      "dropout search: trial 4 of 4, rung 1 of 2"}));
  EXPECT_EQ(trials_ahead(recipe_, journal_, facts_, 1).size(), 1U);
  judge_last(0.3, false);
  for (const Round& foreseen : ahead) {
    EXPECT_EQ(go(0.4, false), foreseen.adds);
    EXPECT_TRUE(trains_the_same(recipe_, foreseen, journal_.rounds.back()));
  }
}

TEST_F(Decide, TrialsAheadOfTheLastRungTrainTheSameWhicheverIsKept) {
  begin(searching("topic.valid.accuracy < 1"), 0.5);
  facts_.measured["topic"]["valid.accuracy"] = 0.5;
  for (const double score : {0.3, 0.4, 0.2, 0.35}) go(score, false);
  EXPECT_EQ(go(0.6, false), "dropout search: trial 2 of 4, rung 2 of 2");
  journal_.rounds.back().verdict.reset();
  const std::vector<Round> ahead = trials_ahead(recipe_, journal_, facts_, 9);
  EXPECT_EQ(names_of(ahead),
            std::vector<std::string>{"dropout search: trial 4 of 4, rung 2 of 2"});
  judge_last(0.6, true);
  EXPECT_EQ(go(0.6, true), ahead[0].adds);
  EXPECT_NE(journal_.rounds.back().parent, ahead[0].parent);
  EXPECT_TRUE(trains_the_same(recipe_, ahead[0], journal_.rounds.back()));
}

TEST_F(Decide, TrialsAheadKeepToTheBudget) {
  recipe::Recipe recipe = searching("overfitting");
  recipe.iterate->max_rounds = 4;
  begin(recipe, 0.5);
  hold("topic", "overfitting");
  go(0.3, false);
  journal_.rounds.back().verdict.reset();
  EXPECT_EQ(trials_ahead(recipe_, journal_, facts_, 9).size(), 2U);
  recipe_.iterate->max_rounds = 20;
  recipe_.iterate->max_steps = 320;
  facts_.costs = {{"round-1/03-topic", {.steps = 100, .seconds = 10}}};
  // A trial of the first rung has about half of its epochs: 67 of 100 steps.
  facts_.costs["round-2/03-topic"] = {.steps = 5, .seconds = 1};  // begun
  EXPECT_EQ(trials_ahead(recipe_, journal_, facts_, 9).size(), 2U);
}

TEST_F(Decide, RoundThatTrainsMoreThanWasForeseenIsAnother) {
  recipe::Recipe recipe = searching("overfitting");
  recipe.iterate->strategies[0].search = recipe::Search{
      .values = {{"phases.tags.dropout", "[0.1, 0.2]"}, {"phases.topic.dropout", "[0.3, 0.4]"}}};
  begin(recipe, 0.5);
  hold("topic", "overfitting");
  go(0.3, false);
  journal_.rounds.back().verdict.reset();
  const std::vector<Round> ahead = trials_ahead(recipe_, journal_, facts_, 1);
  ASSERT_EQ(ahead.size(), 1U);
  EXPECT_EQ(ahead[0].find("tags")->folder, "round-2/02-tags");
  judge_last(std::nan(""), false);  // what diverged is not used again
  EXPECT_EQ(go(0.3, false), ahead[0].adds);
  EXPECT_EQ(journal_.rounds.back().find("tags")->folder, "round-3/02-tags");
  EXPECT_FALSE(trains_the_same(recipe_, ahead[0], journal_.rounds.back()));
}

TEST_F(Decide, SearchWhoseConditionDoesNotHoldIsPassedOver) {
  begin(searching("overfitting"), 0.5);
  EXPECT_EQ(go(0.5, false), "behind");
  EXPECT_EQ(go(0.5, false), "");
  EXPECT_FALSE(last_.empty());
}

TEST_F(Decide, ReachedTargetEndsTheRounds) {
  begin(iterating(), 0.8);
  EXPECT_EQ(go(1, true), "");
  EXPECT_NE(end_.find("the target holds"), std::string::npos);
}

TEST_F(Decide, FirstStrategyWhoseConditionHoldsIsTaken) {
  begin(iterating(), 0.5);
  hold("pretrain", "plateau");
  EXPECT_EQ(go(0.6, true), "dropout");
  const std::vector<Considered>& seen = journal_.rounds.back().considered;
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_FALSE(seen[0].holds);
  EXPECT_TRUE(seen[1].holds);
  EXPECT_EQ(seen[1].numbers.at("pretrain.plateau"), 1);
  EXPECT_TRUE(seen[1].numbers.contains("pretrain.valid.late_gain"));
}

TEST_F(Decide, RoundStartsFromTheEarliestPhaseThatItsChangeTouches) {
  begin(iterating(), 0.5);
  hold("topic", "underfitting");
  hold("topic", "overfitting");
  EXPECT_EQ(go(0.6, true), "longer");
  EXPECT_EQ(own_phases(), (std::vector<std::string>{"pretrain", "tags", "topic"}));
  EXPECT_EQ(journal_.rounds.back().changes,
            std::vector<std::string>{"phases.pretrain.stop.steps: 100 → 200"});
  EXPECT_EQ(go(0.7, true), "dropout");
  EXPECT_EQ(own_phases(), std::vector<std::string>{"topic"});
  EXPECT_EQ(journal_.rounds.back().find("tags")->folder, "round-2/02-tags");
}

TEST_F(Decide, NextRoundStartsFromTheKeptOne) {
  begin(iterating(), 0.5);
  hold("topic", "underfitting");
  EXPECT_EQ(go(0.4, false), "longer");
  EXPECT_EQ(go(0.6, true), "straight");
  const Round& straight = journal_.rounds.back();
  EXPECT_EQ(straight.parent, 1);
  EXPECT_EQ(straight.variant.strategies, std::vector<std::string>{"straight"});
  EXPECT_EQ(straight.find("pretrain")->folder, "round-1/01-pretrain");
  EXPECT_EQ(straight.find("tags"), nullptr);
  EXPECT_EQ(own_phases(), std::vector<std::string>{"topic"});
}

TEST_F(Decide, EachStrategyIsTriedOnceAndThenItEnds) {
  begin(iterating(), 0.5);
  EXPECT_EQ(go(0.4, false), "straight");
  EXPECT_EQ(go(0.4, false), "");
  EXPECT_EQ(end_, "no strategy is left");
  ASSERT_EQ(last_.size(), 2U);
  EXPECT_EQ(last_[0].strategy, "longer");
  EXPECT_FALSE(last_[0].holds);
}

TEST_F(Decide, BudgetOfRoundsEnds) {
  recipe::Recipe recipe = iterating();
  recipe.iterate->max_rounds = 1;
  begin(recipe, 0.5);
  EXPECT_EQ(go(1, true), "");
  EXPECT_EQ(end_, "the budget of 1 rounds is spent");
}

TEST_F(Decide, RoundThatDoesNotFitIntoTheBudgetIsPassedOver) {
  begin(iterating("  max_steps: 350\n"), 0.5);
  facts_.costs = {{"round-1/01-pretrain", {.steps = 100, .seconds = 10}},
                  {"round-1/02-tags", {.steps = 60, .seconds = 6}},
                  {"round-1/03-topic", {.steps = 60, .seconds = 6}}};
  hold("topic", "underfitting");
  EXPECT_EQ(go(0.5, false), "straight");  // 60 steps; "longer" needs 200 + 60 + 60
  EXPECT_NE(journal_.rounds.back().considered[0].note.find("needs about 320 steps"),
            std::string::npos);
  facts_.costs["round-2/03-topic"] = {.steps = 60, .seconds = 6};
  EXPECT_EQ(go(0.5, false), "");
  EXPECT_EQ(end_, "what is left of the budget is too little for another round");
}

TEST_F(Decide, StrategyThatChangesNothingIsPassedOver) {
  recipe::Recipe recipe = iterating();
  recipe.iterate->strategies[2].set = {{"phases.topic.dropout", "0.2"}};  // as it is
  begin(recipe, 0.5);
  EXPECT_EQ(go(1, true), "");
  EXPECT_EQ(last_[2].note, "gives what round 1 was");
}

TEST_F(Decide, StrategiesThatDoNotFitTogetherArePassedOver) {
  recipe::Recipe recipe = iterating();
  recipe.iterate->strategies = {{"narrow", "", {{"model.width", "36"}}},
                                {"heads", "", {{"model.num_heads", "8"}}}};
  begin(recipe, 0.5);
  EXPECT_EQ(go(0.6, true), "narrow");
  EXPECT_EQ(go(0.6, true), "");
  EXPECT_NE(last_[0].note.find("heads do not divide"), std::string::npos);
}

TEST_F(Decide, GatedPhaseIsTriedFirstAgainstTheRoadWithoutIt) {
  begin(gated(), 0.5);
  EXPECT_EQ(own_phases(), (std::vector<std::string>{"pretrain", "topic"}));
  EXPECT_EQ(go(0.4, false), "phase tags");
  EXPECT_EQ(journal_.rounds.back().margin, 0.02);
  EXPECT_EQ(own_phases(), (std::vector<std::string>{"tags", "topic"}));
  EXPECT_EQ(journal_.rounds.back().changes,
            std::vector<std::string>{"phases.topic.from: pretrain → tags"});
  EXPECT_EQ(go(0.4, false), "");  // "straight" is what the kept round is
  EXPECT_EQ(last_.back().note, "gives what round 1 was");
}

TEST_F(Decide, KeptGateStaysInLaterRounds) {
  begin(gated(), 0.5);
  EXPECT_EQ(go(0.6, true), "phase tags");
  hold("topic", "overfitting");
  EXPECT_EQ(go(0.7, true), "dropout");
  EXPECT_EQ(journal_.rounds.back().find("tags")->folder, "round-2/02-tags");
}

TEST_F(Decide, PhasesOfARoundThatDivergedAreTrainedAgain) {
  begin(iterating(), std::nan(""));
  EXPECT_EQ(go(0.5, true), "straight");
  EXPECT_EQ(own_phases(), (std::vector<std::string>{"pretrain", "topic"}));
}

}  // namespace
}  // namespace polyphase
