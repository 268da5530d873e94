// SPDX-License-Identifier: Apache-2.0
#include "report/history.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "report/run_folder.hpp"

namespace polyphase::report {
namespace {

TEST(HistoryTest, StepsEvaluationsAndEventsBecomeCurves) {
  const RunFolder folder;
  folder.write(
      "m.jsonl",
      step_lines(10, "mlm", 5) +
          "{\"kind\":\"event\",\"step\":10,\"what\":\"stopped\",\"detail\":\"SIGTERM\"}\n");
  const History history = read_history(folder.path() / "m.jsonl");
  EXPECT_EQ(history.losses.at("loss").size(), 10U);
  EXPECT_EQ(history.losses.at("mlm").size(), 10U);
  EXPECT_EQ(history.evaluations.at("valid.loss").size(), 2U);
  EXPECT_EQ(history.evaluations.at("valid.accuracy").size(), 2U);
  EXPECT_EQ(history.learning_rate.size(), 10U);
  ASSERT_EQ(history.events.size(), 1U);
  EXPECT_EQ(history.events[0].what, "stopped");
  EXPECT_EQ(history.last_step, 10);
}

TEST(HistoryTest, StepsThatTrainNothingHaveNoLossCurve) {
  const RunFolder folder;
  folder.write(
      "m.jsonl",
      "{\"kind\":\"step\",\"step\":4,\"tokens\":90,\"seconds\":2,\"tokens_per_second\":45}\n");
  const History history = read_history(folder.path() / "m.jsonl");
  EXPECT_TRUE(history.losses.empty());
  EXPECT_EQ(history.tokens_per_second.size(), 1U);
  EXPECT_EQ(history.last_step, 4);
}

TEST(HistoryTest, MissingFileIsEmptyAndDamageIsTold) {
  const RunFolder folder;
  const History missing = read_history(folder.path() / "none.jsonl");
  EXPECT_EQ(missing.last_step, 0);
  EXPECT_EQ(missing.fault, "");
  folder.write("m.jsonl",
               "{\"kind\":\"step\",\"step\":1,\"loss\":2}\nnot "
               "json\n{\"kind\":\"step\",\"step\":3,\"loss\":2}\n");
  EXPECT_NE(read_history(folder.path() / "m.jsonl").fault, "");
}

TEST(HistoryTest, ForeignValuesAreLeftOut) {
  const RunFolder folder;
  folder.write(
      "m.jsonl",
      "{\"kind\":\"step\",\"step\":1,\"loss\":\"nan\",\"losses\":[1],\"learning_rate\":{}}\n"
      "{\"kind\":\"evaluation\",\"step\":1,\"split\":\"valid\",\"metrics\":3}\n");
  const History history = read_history(folder.path() / "m.jsonl");
  EXPECT_EQ(history.num_not_finite, 1);
  EXPECT_TRUE(history.learning_rate.empty());
  EXPECT_TRUE(history.evaluations.empty());
}

TEST(HistoryTest, SmoothingKeepsAConstantAndItsGaps) {
  const Points points = {{1, 3.0}, {2, 3.0}, {3, NAN}, {4, 3.0}};
  const Points smooth = smoothed(points, 10);
  ASSERT_EQ(smooth.size(), 4U);
  EXPECT_NEAR(smooth[0].y, 3.0, 1e-12);
  EXPECT_TRUE(std::isnan(smooth[2].y));
  EXPECT_NEAR(smooth[3].y, 3.0, 1e-12);
}

TEST(HistoryTest, ThinningKeepsSpikesOrderAndGaps) {
  Points points;
  for (int i = 0; i < 10000; ++i)
    points.push_back({double(i), i == 4321 ? 99.0 : i >= 7000 && i < 8000 ? NAN : 1.0});
  const Points thin = thinned(points, 200);
  EXPECT_LE(thin.size(), 200U);
  EXPECT_GE(thin.size(), 80U);
  EXPECT_TRUE(std::any_of(thin.begin(), thin.end(),
                          [](const Point& p) { return p.y == 99.0 && p.x == 4321; }));
  EXPECT_TRUE(
      std::any_of(thin.begin(), thin.end(), [](const Point& p) { return std::isnan(p.y); }));
  EXPECT_TRUE(std::is_sorted(thin.begin(), thin.end(),
                             [](const Point& a, const Point& b) { return a.x < b.x; }));
}

}  // namespace
}  // namespace polyphase::report
