// SPDX-License-Identifier: Apache-2.0
#include "optimizer/schedule.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace polyphase {
namespace {

constexpr double kTolerance = 1e-14;  // some roundings of float64 near 1

recipe::Optimizer with(const recipe::Schedule& schedule) {
  recipe::Optimizer optimizer;
  optimizer.learning_rate = 0.25;
  optimizer.schedule = schedule;
  return optimizer;
}

// Rates of a whole phase, divided by the full rate.
std::vector<double> curve(const recipe::Schedule& schedule, std::int64_t total) {
  std::vector<double> rates;
  for (std::int64_t step = 0; step <= total; ++step) {
    rates.push_back(learning_rate_at(with(schedule), step, total) / 0.25);
  }
  return rates;
}

void expect_curve(const recipe::Schedule& schedule, const std::vector<double>& expected) {
  const std::vector<double> rates = curve(schedule, static_cast<std::int64_t>(expected.size()) - 1);
  for (std::size_t step = 0; step < expected.size(); ++step) {
    EXPECT_NEAR(rates[step], expected[step], kTolerance) << schedule.kind << " at step " << step;
  }
}

TEST(Schedule, WarmUpRisesOnAStraightLineToTheFullRate) {
  for (const char* kind : {"constant", "linear", "cosine", "inverse_sqrt", "wsd"}) {
    const std::vector<double> rates = curve({.kind = kind, .warmup_steps = 4}, 20);
    for (int step = 0; step < 4; ++step) EXPECT_NEAR(rates[step], 0.25 * (step + 1), kTolerance);
  }
}

TEST(Schedule, ConstantStays) {
  expect_curve({.kind = "constant", .final_fraction = 0.5}, std::vector<double>(9, 1.0));
}

TEST(Schedule, LinearFallsToTheFinalFraction) {
  expect_curve({.kind = "linear"}, {1.0, 0.75, 0.5, 0.25, 0.0});
  expect_curve({.kind = "linear", .warmup_steps = 2, .final_fraction = 0.2},
               {0.5, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2});
}

TEST(Schedule, CosineIsHalfAWave) {
  std::vector<double> expected;
  for (int step = 0; step <= 10; ++step)
    expected.push_back(0.1 + 0.9 * 0.5 * (1 + std::cos(std::numbers::pi * step / 10)));
  expect_curve({.kind = "cosine", .final_fraction = 0.1}, expected);
}

TEST(Schedule, CosineRestartsFromTheFullRateInEveryCycle) {
  std::vector<double> expected = {1.0 / 3, 2.0 / 3, 1.0};
  for (int step = 0; step < 21; ++step)
    expected.push_back(0.5 * (1 + std::cos(std::numbers::pi * (step % 7) / 7)));
  expected.push_back(0.0);
  expect_curve({.kind = "cosine", .warmup_steps = 3, .cycles = 3}, expected);
}

TEST(Schedule, CyclesOfUnevenLengthBeginNearTheFullRate) {
  const std::vector<double> rates = curve({.kind = "cosine", .cycles = 3}, 10);
  // Cycles begin at 10/3 and 20/3: the first steps behind are 2/10 and 1/10 of a cycle in.
  EXPECT_NEAR(rates[4], 0.5 * (1 + std::cos(std::numbers::pi * 0.2)), kTolerance);
  EXPECT_NEAR(rates[7], 0.5 * (1 + std::cos(std::numbers::pi * 0.1)), kTolerance);
}

TEST(Schedule, InverseSquareRootFollowsTheStepAndKeepsItsFloor) {
  std::vector<double> expected = {0.25, 0.5, 0.75, 1.0};
  for (int step = 4; step <= 40; ++step)
    expected.push_back(std::max(0.4, std::sqrt(4.0 / (step + 1))));
  expect_curve({.kind = "inverse_sqrt", .warmup_steps = 4, .final_fraction = 0.4}, expected);
}

TEST(Schedule, InverseSquareRootDoesNotKnowTheEnd) {
  const recipe::Optimizer optimizer = with({.kind = "inverse_sqrt", .warmup_steps = 4});
  EXPECT_EQ(learning_rate_at(optimizer, 15, 20), learning_rate_at(optimizer, 15, 2000));
}

TEST(Schedule, WarmUpStableDecayFallsInTheLastFractionOnly) {
  expect_curve({.kind = "wsd", .warmup_steps = 2, .final_fraction = 0.2, .decay_fraction = 0.4},
               {0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2});
  expect_curve({.kind = "wsd", .decay_fraction = 0.0}, std::vector<double>(6, 1.0));
}

}  // namespace
}  // namespace polyphase
