// SPDX-License-Identifier: Apache-2.0
#include "control/conditions.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace polyphase {
namespace {

// A phase whose training loss falls evenly between two values in 20 steps, with these validation
// losses.
report::History history(double first, double last, const std::vector<double>& valid) {
  report::History history;
  for (int step = 1; step <= 20; ++step)
    history.losses["loss"].push_back({double(step), first + (last - first) * (step - 1) / 19});
  for (std::size_t i = 0; i < valid.size(); ++i)
    history.evaluations["valid.loss"].push_back({double(i + 1), valid[i]});
  return history;
}

std::map<std::string, double> measured(double first, double last,
                                       const std::vector<double>& valid) {
  return measure(history(first, last, valid), {});
}

TEST(Conditions, TrainingLossIsTheMeanOfTheLastTenth) {
  const auto values = measured(20, 1, {2.0});
  EXPECT_DOUBLE_EQ(values.at("train.loss"), 1.5);
  EXPECT_DOUBLE_EQ(values.at("train.first_loss"), 19.5);
}

TEST(Conditions, UnderfittingIsATrainingLossAsHighAsTheValidationLoss) {
  EXPECT_EQ(measured(3, 1, {2, 1.5, 1.1}).at("underfitting"), 1);
  EXPECT_EQ(measured(3, 1, {2, 1.5, 1.3}).at("underfitting"), 0);  // a gap of 19 %
  EXPECT_EQ(measured(3, 1, {2, 1.5, 1.3}).at("overfitting"), 0);
}

TEST(Conditions, OverfittingIsAGapOrARise) {
  EXPECT_EQ(measured(3, 1, {2, 1.9, 1.8}).at("overfitting"), 1);  // a gap of 41 %
  EXPECT_EQ(measured(3, 1, {2, 1.0, 1.1}).at("overfitting"), 1);  // 10 % above its lowest
  EXPECT_EQ(measured(3, 1, {2, 1.0, 1.04}).at("overfitting"), 0);
}

TEST(Conditions, DivergedExcludesTheOthers) {
  const auto values = measured(1, 3, {2, 2, 2});
  EXPECT_EQ(values.at("diverged"), 1);
  EXPECT_EQ(values.at("overfitting"), 0);
  EXPECT_EQ(values.at("underfitting"), 0);
  EXPECT_EQ(values.at("plateau"), 0);
  EXPECT_EQ(measured(1, 1.1, {2, 2, 2}).at("diverged"), 0);  // noise
  report::History not_finite = history(3, 1, {2});
  not_finite.num_not_finite = 1;
  EXPECT_EQ(measure(not_finite, {}).at("diverged"), 1);
}

TEST(Conditions, PlateauLooksAtTheLastThirdOfTheEvaluations) {
  EXPECT_EQ(measured(3, 1, {2, 1.5, 1.499}).at("plateau"), 1);
  EXPECT_EQ(measured(3, 1, {2, 1.5, 1.4}).at("plateau"), 0);
  EXPECT_EQ(measured(3, 1, {2, 2}).at("plateau"), 0);  // too few to tell
  EXPECT_NEAR(measured(3, 1, {2, 1.5, 1.2}).at("valid.late_gain"), 0.2, 1e-12);
}

TEST(Conditions, WhatIsNotMeasuredIsLeftOut) {
  EXPECT_TRUE(measure({}, {}).empty());
  EXPECT_FALSE(measured(3, 1, {}).contains("valid.gap"));
  EXPECT_EQ(measured(3, 1, {}).at("underfitting"), 0);
}

TEST(Conditions, LossesOfSeveralObjectivesAreMeasured) {
  report::History both = history(3, 1, {2});
  both.losses["mlm"] = both.losses["loss"];
  EXPECT_EQ(measure(both, {}).at("train.mlm_loss"), measure(both, {}).at("train.loss"));
}

TEST(Conditions, DefinitionsTellTheThresholds) {
  EXPECT_NE(definition_of("overfitting", {.overfitting_gap = 0.25}).find("25 %"),
            std::string::npos);
  EXPECT_NE(definition_of("plateau", {.plateau_gain = 0.02}).find("2 %"), std::string::npos);
}

}  // namespace
}  // namespace polyphase
