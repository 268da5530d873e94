// SPDX-License-Identifier: Apache-2.0
#include "control/paired_test.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace polyphase {
namespace {

// Samples of which the round wins the first `won` and loses the next `lost`.
PairedTest of(std::int64_t num_samples, std::int64_t won, std::int64_t lost) {
  return paired_bootstrap(num_samples, 2000, [&](const Multiplicities& times) {
    double gain = 0;
    for (std::int64_t s = 0; s < won + lost; ++s) gain += s < won ? times[s] : -times[s];
    return gain;
  });
}

TEST(PairedTest, EveryResampleHasAsManySamples) {
  paired_bootstrap(7, 50, [](const Multiplicities& times) {
    EXPECT_EQ(std::accumulate(times.begin(), times.end(), 0), 7);
    return 0.0;
  });
}

// The gain of a resample is the difference of two binomial counts: for large samples normal with
// mean won − lost and variance won + lost − (won − lost)² / n. The bounds are 4 standard errors of
// a share of 2,000 draws (at most 0.045) and the error of the normal form (below 0.02).
TEST(PairedTest, ShareFollowsTheNormalForm) {
  EXPECT_NEAR(of(1000, 60, 40).share_better, 0.977, 0.034);
  EXPECT_NEAR(of(1000, 55, 45).share_better, 0.841, 0.053);
  EXPECT_NEAR(of(1000, 50, 50).share_better, 0.48, 0.065);
}

TEST(PairedTest, NoDifferenceIsNoGain) {
  EXPECT_EQ(of(100, 0, 0).share_better, 0);
  EXPECT_EQ(of(100, 100, 0).share_better, 1);
}

TEST(PairedTest, SameSamplesGiveTheSameShare) {
  EXPECT_EQ(of(300, 20, 12).share_better, of(300, 20, 12).share_better);
}

}  // namespace
}  // namespace polyphase
