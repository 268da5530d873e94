// SPDX-License-Identifier: Apache-2.0
#include "control/verdict.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace polyphase {
namespace {

recipe::Iterate upwards(double confidence = 0.9) {
  recipe::Iterate iterate;
  iterate.target = {.phase = "topic", .metric = "valid.accuracy", .at_least = 0.8, .at_most = {}};
  iterate.confidence = confidence;
  return iterate;
}

PairedTest test_of(double share_better) {
  return {.num_samples = 200, .num_resamples = 1000, .share_better = share_better};
}

TEST(Verdict, FirstRoundIsKept) {
  EXPECT_TRUE(judge(upwards(), 0, 0.1, {}, {}).kept);
  EXPECT_TRUE(judge(upwards(), 0, std::nan(""), {}, {}).kept);
}

TEST(Verdict, GainMustReachTheMargin) {
  EXPECT_TRUE(judge(upwards(), 0.01, 0.61, 0.6, test_of(1)).kept);
  EXPECT_FALSE(judge(upwards(), 0.01, 0.609, 0.6, test_of(1)).kept);
  EXPECT_FALSE(judge(upwards(), 0, 0.6, 0.6, test_of(1)).kept);
  const Verdict worse = judge(upwards(), 0, 0.5, 0.6, test_of(0));
  EXPECT_FALSE(worse.kept);
  EXPECT_NEAR(worse.gain, -0.1, 1e-12);
}

TEST(Verdict, GainThatMayBeChanceIsRejected) {
  const Verdict chance = judge(upwards(), 0.01, 0.62, 0.6, test_of(0.85));
  EXPECT_FALSE(chance.kept);
  EXPECT_NE(chance.reason.find("85.0 % of 1000 resamples of the 200"), std::string::npos);
  EXPECT_TRUE(judge(upwards(0), 0.01, 0.62, 0.6, test_of(0.85)).kept);
  EXPECT_TRUE(judge(upwards(), 0.01, 0.62, 0.6, {}).kept);
}

TEST(Verdict, RoundsThatEndWithoutTheTargetTellWhatIsMissing) {
  const auto ended_with = [](double score) {
    Journal journal;
    Round round = {};
    round.number = 1;
    round.verdict = judge(upwards(), 0, score, {}, {});
    journal.rounds.push_back(round);
    journal.ended = "no strategy is left";
    return journal;
  };
  EXPECT_EQ(shortfall_of(upwards().target, ended_with(0.8)), "");
  EXPECT_EQ(
      shortfall_of(upwards().target, ended_with(0.79996)),
      "valid.accuracy of topic is 0.79996 in round 1, the best, and is to be at least 0.8; no "
      "strategy is left");
  EXPECT_NE(shortfall_of(upwards().target, ended_with(std::nan(""))), "");
}

TEST(Verdict, LowerIsBetterWhereTheTargetIsABound) {
  recipe::Iterate down = upwards();
  down.target.at_least.reset();
  down.target.at_most = 1.0;
  EXPECT_TRUE(judge(down, 0.1, 1.2, 1.4, test_of(1)).kept);
  EXPECT_FALSE(judge(down, 0.1, 1.4, 1.2, test_of(1)).kept);
  EXPECT_TRUE(target_holds(down.target, 1.0));
  EXPECT_FALSE(target_holds(down.target, 1.1));
}

TEST(Verdict, NotANumberLosesAndAnythingBeatsIt) {
  EXPECT_FALSE(judge(upwards(), 0, std::nan(""), 0.5, {}).kept);
  EXPECT_TRUE(judge(upwards(), 0, 0.1, std::nan(""), {}).kept);
  EXPECT_FALSE(target_holds(upwards().target, std::nan("")));
}

}  // namespace
}  // namespace polyphase
