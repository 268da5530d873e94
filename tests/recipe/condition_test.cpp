// SPDX-License-Identifier: Apache-2.0
#include "recipe/condition.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/error.hpp"

namespace polyphase::recipe {
namespace {

bool holds(const std::string& text) {
  const std::map<std::string, double> values = {
      {"valid.accuracy", 0.6}, {"train.loss", 1.5},         {"plateau", 1},
      {"diverged", 0},         {"pre-train.valid.loss", 2}, {"valid.nan", std::nan("")}};
  return parse_condition(text).holds([&](const std::string& name) { return values.at(name); });
}

TEST(Condition, ComparesMetricsWithNumbers) {
  EXPECT_TRUE(holds("valid.accuracy < 0.7"));
  EXPECT_FALSE(holds("valid.accuracy>=0.7"));
  EXPECT_TRUE(holds("0.6 == valid.accuracy"));
  EXPECT_TRUE(holds("train.loss != 1.4"));
  EXPECT_TRUE(holds("train.loss <= 1.5e0"));
  EXPECT_TRUE(holds("pre-train.valid.loss > train.loss"));
}

TEST(Condition, AndBindsTighterThanOr) {
  EXPECT_TRUE(holds("plateau or diverged and diverged"));
  EXPECT_FALSE(holds("(plateau or diverged) and diverged"));
  EXPECT_TRUE(holds("not diverged and not (train.loss < 1 or valid.accuracy > 0.9)"));
  EXPECT_FALSE(holds("not plateau"));
}

TEST(Condition, NothingHoldsOfWhatIsNotANumber) {
  EXPECT_FALSE(holds("valid.nan < 1"));
  EXPECT_FALSE(holds("valid.nan != 1"));
  EXPECT_FALSE(holds("valid.nan == valid.nan"));
}

TEST(Condition, EmptyTextAlwaysHolds) { EXPECT_TRUE(holds("  ")); }

TEST(Condition, NamesAreListedOnce) {
  EXPECT_EQ(parse_condition("a.b < c.d or plateau and a.b > 1").names(),
            (std::vector<std::string>{"a.b", "c.d", "plateau"}));
}

TEST(Condition, WhatCannotBeReadIsRefused) {
  for (const char* text :
       {"<", "valid.loss <", "valid.loss 1", "1", "(plateau", "plateau)", "not", "plateau and",
        "valid.loss < 1 < 2", "and", "plateau; diverged", "valid.loss = 1", "a < or"}) {
    EXPECT_THROW(parse_condition(text), RecipeError) << text;
  }
  EXPECT_THROW(parse_condition(std::string(10000, '(') + "plateau"), RecipeError);
}

TEST(Condition, NamesHaveTheirParts) {
  const ConditionName word = split_condition_name("tags.plateau");
  EXPECT_EQ(word.phase, "tags");
  EXPECT_EQ(word.part, "");
  EXPECT_EQ(word.metric, "plateau");
  const ConditionName metric = split_condition_name("tags.valid.f1");
  EXPECT_EQ(metric.phase, "tags");
  EXPECT_EQ(metric.part, "valid");
  EXPECT_EQ(metric.metric, "f1");
  EXPECT_THROW(split_condition_name("flat"), RecipeError);
  EXPECT_THROW(split_condition_name("a.b.c.d"), RecipeError);
}

}  // namespace
}  // namespace polyphase::recipe
