// SPDX-License-Identifier: Apache-2.0
#include "corpus/mixture.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace polyphase {
namespace {

using Counts = std::vector<std::int64_t>;

TEST(MixtureQuotas, AreTheWeightsInTheFewestWholeSamples) {
  EXPECT_EQ(mixture_quotas({3.0, 1.0}), (Counts{3, 1}));
  EXPECT_EQ(mixture_quotas({0.5}), (Counts{1}));
  EXPECT_EQ(mixture_quotas({0.2, 0.2, 0.6}), (Counts{1, 1, 3}));
  EXPECT_EQ(mixture_quotas({2e-9, 2e-9}), (Counts{1, 1}));
}

TEST(MixtureQuotas, LargestRemaindersGetTheRest) {
  EXPECT_EQ(mixture_quotas({1.0, 1.0, 1.0}), (Counts{334, 333, 333}));
  // 142.857, 285.714, 571.428: two samples are left, for the first and the second.
  EXPECT_EQ(mixture_quotas({1.0, 2.0, 4.0}), (Counts{143, 286, 571}));
}

TEST(MixtureQuotas, ACorpusMayBeTooSmallForTheBlock) {
  EXPECT_EQ(mixture_quotas({1.0, 1e-5}), (Counts{1, 0}));
}

TEST(TemperedWeights, FollowTheSizesToThePowerOfOneOverT) {
  const std::vector<double> weights = {1.0, 2.0};
  const Counts sizes = {100, 10000};
  EXPECT_EQ(tempered_weights(weights, sizes, std::nullopt), weights);
  const auto ratio = [&](double temperature) {
    const auto tempered = tempered_weights(weights, sizes, temperature);
    return tempered[1] / tempered[0];
  };
  EXPECT_NEAR(ratio(1.0), 200.0, 1e-9);
  EXPECT_NEAR(ratio(2.0), 20.0, 1e-10);
  EXPECT_NEAR(ratio(1e9), 2.0, 1e-6);
  EXPECT_EQ(mixture_quotas(tempered_weights({1.0, 1.0}, {100, 300}, 1.0)), (Counts{1, 3}));
}

TEST(Mixture, EveryBlockHoldsTheQuotasAndEachCorpusIsCountedThrough) {
  Mixture mixture({3, 1, 2}, 5, 9);
  Counts next(3);
  for (std::int64_t block = 0; block < 200; ++block) {
    Counts in_block(3);
    for (std::int64_t i = 0; i < 6; ++i) {
      const Mixture::Place place = mixture.at(6 * block + i);
      EXPECT_EQ(place.index, next[place.corpus]++);
      ++in_block[place.corpus];
    }
    EXPECT_EQ(in_block, (Counts{3, 1, 2}));
  }
}

TEST(Mixture, EveryPlaceIsKnownWithoutThoseBefore) {
  Mixture straight({334, 333, 333}, 5, 9);
  Counts corpora;
  for (std::int64_t g = 0; g < 2500; ++g) {
    const Mixture::Place expected = straight.at(g);
    const Mixture::Place alone = Mixture({334, 333, 333}, 5, 9).at(g);
    ASSERT_EQ(alone.corpus, expected.corpus);
    ASSERT_EQ(alone.index, expected.index);
    corpora.push_back(static_cast<std::int64_t>(expected.corpus));
  }
  const auto begin = corpora.begin();
  EXPECT_FALSE(std::equal(begin, begin + 1000, begin + 1000)) << "two blocks in the same order";
  const auto changes = [&](std::uint64_t seed, std::uint64_t phase) {
    Mixture other({334, 333, 333}, seed, phase);
    std::int64_t count = 0;
    for (std::size_t g = 0; g < corpora.size(); ++g) {
      count += other.at(static_cast<std::int64_t>(g)).corpus != static_cast<std::size_t>(corpora[g])
                   ? 1
                   : 0;
    }
    return count;
  };
  EXPECT_EQ(changes(5, 9), 0);
  EXPECT_GT(changes(6, 9), 1000);
  EXPECT_GT(changes(5, 8), 1000);
}

// The k-th of n places is each corpus' with the chance of its share: neither comes in runs.
TEST(Mixture, CorporaAreSpreadOverTheBlock) {
  Mixture mixture({700, 300}, 1, 1);
  for (std::int64_t first = 0; first < 10000; first += 100) {
    int second = 0;
    for (std::int64_t g = first; g < first + 100; ++g) second += mixture.at(g).corpus == 1 ? 1 : 0;
    // Of 100 of 1000 places drawn without putting back: 30 ± 4.35; beyond 6 of these is a fault.
    EXPECT_NEAR(second, 30, 26) << first;
  }
}

}  // namespace
}  // namespace polyphase
