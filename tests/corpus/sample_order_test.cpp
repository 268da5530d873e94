// SPDX-License-Identifier: Apache-2.0
#include "corpus/sample_order.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <vector>

namespace polyphase {
namespace {

std::vector<std::int64_t> epoch_of(TrainingOrder& order, std::int64_t epoch) {
  std::vector<std::int64_t> samples;
  const std::int64_t n = order.samples_per_epoch();
  for (std::int64_t g = epoch * n; g < (epoch + 1) * n; ++g) samples.push_back(order.sample_of(g));
  return samples;
}

TEST(TrainingOrder, EveryEpochHoldsEverySampleOnceInAnOrderOfItsOwn) {
  TrainingOrder order(777, 0, 5, 0);
  const auto first = epoch_of(order, 0), second = epoch_of(order, 1);
  EXPECT_EQ(std::set<std::int64_t>(first.begin(), first.end()).size(), 777U);
  EXPECT_EQ(std::set<std::int64_t>(second.begin(), second.end()).size(), 777U);
  EXPECT_NE(first, second);
  EXPECT_EQ(epoch_of(order, 0), first);  // going back needs no replay either
  TrainingOrder other_phase(777, 0, 5, 1), other_seed(777, 0, 6, 0);
  EXPECT_NE(epoch_of(other_phase, 0), first);
  EXPECT_NE(epoch_of(other_seed, 0), first);
}

TEST(TrainingOrder, SmallerChoiceIsPartOfLargerOneAndTheSameInAllPhases) {
  TrainingOrder small(5000, 100, 9, 0), large(5000, 400, 9, 3);
  EXPECT_EQ(small.samples_per_epoch(), 100);
  std::set<std::int64_t> few, many;
  for (const std::int64_t sample : epoch_of(small, 2)) few.insert(sample);
  for (const std::int64_t sample : epoch_of(large, 0)) many.insert(sample);
  EXPECT_EQ(few.size(), 100U);
  EXPECT_EQ(many.size(), 400U);
  for (const std::int64_t sample : few) EXPECT_EQ(many.count(sample), 1U) << sample;
  for (std::int64_t member = 0; member < 100; ++member) {
    EXPECT_EQ(small.chosen(member), large.chosen(member));
  }
  TrainingOrder other_seed(5000, 100, 10, 0);
  std::int64_t shared = 0;
  for (const std::int64_t sample : epoch_of(other_seed, 0)) shared += few.count(sample);
  EXPECT_LT(shared, 15);  // the expectation is 2
}

TEST(TrainingOrder, LimitAboveTheCorpusMeansAllOfIt) {
  TrainingOrder order(50, 80, 1, 0);
  EXPECT_EQ(order.samples_per_epoch(), 50);
  EXPECT_THROW(order.sample_of(-1), std::logic_error);
}

TEST(EvaluationOrder, IsTheIndexOrAnEvenRisingChoiceOfIt) {
  const EvaluationOrder all(10, 0, 3);
  ASSERT_EQ(all.size(), 10);
  for (std::int64_t i = 0; i < 10; ++i) EXPECT_EQ(all.at(i), i);
  const EvaluationOrder some(1003, 100, 3), other(1003, 100, 4);
  ASSERT_EQ(some.size(), 100);
  int equal = 0;
  for (std::int64_t i = 0; i < 100; ++i) {
    EXPECT_GE(some.at(i), 1003 * i / 100);
    EXPECT_LT(some.at(i), 1003 * (i + 1) / 100);
    equal += some.at(i) == other.at(i);
  }
  EXPECT_LT(equal, 40);  // the expectation is 10
}

}  // namespace
}  // namespace polyphase
