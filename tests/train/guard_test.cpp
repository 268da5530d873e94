// SPDX-License-Identifier: Apache-2.0
#include "train/guard.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace polyphase {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

LossHistory history_of(const std::vector<double>& losses) {
  LossHistory history;
  for (const double loss : losses) history.add(loss);
  return history;
}

std::vector<double> wave(int count) {
  std::vector<double> losses;
  for (int i = 0; i < count; ++i) losses.push_back(3.0 + std::sin(0.7 * i) - 0.01 * i);
  return losses;
}

TEST(LossHistory, KeepsTheNewestSixtyFour) {
  const std::vector<double> losses = wave(70);
  EXPECT_EQ(history_of(losses).losses, std::vector<double>(losses.begin() + 6, losses.end()));
}

TEST(FaultOfStep, WhatIsNotFiniteIsWrongFromTheFirstStep) {
  EXPECT_FALSE(fault_of_step({}, {}, 3.0, 1.0));
  EXPECT_EQ(fault_of_step({}, {}, kInfinity, 1.0), "the loss is inf");
  EXPECT_EQ(fault_of_step({}, {}, std::nan(""), 1.0), "the loss is nan");
  EXPECT_EQ(fault_of_step({}, {}, 3.0, std::nan("")), "the norm of the gradients is nan");
}

// Losses 1 … 21: the median is 11, the distances from it 0, 1, 1 … 10, 10, their median is 5.
TEST(FaultOfStep, SpikeIsSoManyDeviationsAboveTheMedianOfTwentyLossesOrMore) {
  LossHistory history;
  for (int i = 0; i < 21; ++i) history.add(1 + (8 * i) % 21);
  const double bound = 11 + 4 * 1.4826 * 5;
  EXPECT_FALSE(fault_of_step({.spike = 4}, history, bound - 1e-9, 1.0));
  EXPECT_TRUE(fault_of_step({.spike = 4}, history, bound + 1e-9, 1.0));
  EXPECT_FALSE(fault_of_step({.spike = 0}, history, 1e9, 1.0));
  EXPECT_FALSE(fault_of_step({.spike = 4}, history_of(wave(19)), 1e9, 1.0));
}

TEST(FaultOfStep, LossesThatDoNotMoveAreGivenAHundredthOfTheMedian) {
  const LossHistory history = history_of(std::vector<double>(30, 2.0));
  EXPECT_FALSE(fault_of_step({.spike = 5}, history, 2.0999, 1.0));
  EXPECT_TRUE(fault_of_step({.spike = 5}, history, 2.1001, 1.0));
}

TEST(FaultOfStep, EarlierSpikeHidesNoLaterOne) {
  std::vector<double> losses = wave(30);
  losses[3] = 500;
  EXPECT_TRUE(fault_of_step({.spike = 6}, history_of(losses), 500, 1.0));
}

TEST(RollBack, PassesOverTheDataSinceTheCheckpoint) {
  const GuardState checkpoint = {
      .losses = history_of(wave(30)), .num_skipped = 1, .num_rollbacks = 1, .data_offset = 5};
  const GuardState before = {.losses = history_of(wave(40)),
                             .skipped_in_a_row = 4,
                             .num_skipped = 6,
                             .num_rollbacks = 1,
                             .data_offset = 5};
  const GuardState state = roll_back({.skip_data = true}, checkpoint, before, 30, 44);
  EXPECT_EQ(state.losses.losses, wave(30));
  EXPECT_EQ(state.skipped_in_a_row, 0);
  EXPECT_EQ(state.num_skipped, 6);
  EXPECT_EQ(state.num_rollbacks, 2);
  EXPECT_EQ(state.data_offset, 5 + 14);
  EXPECT_EQ(roll_back({.skip_data = false}, checkpoint, before, 30, 44).data_offset, 5);
}

TEST(GuardState, IsReadBackAsItWasWritten) {
  const GuardState state = {.losses = history_of(wave(7)),
                            .skipped_in_a_row = 1,
                            .num_skipped = 2,
                            .num_rollbacks = 3,
                            .data_offset = 4};
  const GuardState read = nlohmann::json::parse(nlohmann::json(state).dump()).get<GuardState>();
  EXPECT_EQ(read.losses.losses, wave(7));
  EXPECT_EQ(read.skipped_in_a_row, 1);
  EXPECT_EQ(read.num_skipped, 2);
  EXPECT_EQ(read.num_rollbacks, 3);
  EXPECT_EQ(read.data_offset, 4);
}

}  // namespace
}  // namespace polyphase
