// SPDX-License-Identifier: Apache-2.0
#include "base/philox.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>

namespace polyphase {
namespace {

TEST(Philox, EqualsThePublishedVectors) {
  // Known answers of Random123 for philox4x32-10: counter and key all zeros, and all ones.
  const PhiloxWords zeros = philox(0, 0, 0);
  EXPECT_EQ(zeros.word[0], 0x6627e8d5U);
  EXPECT_EQ(zeros.word[1], 0xe169c58dU);
  EXPECT_EQ(zeros.word[2], 0xbc57ac4cU);
  EXPECT_EQ(zeros.word[3], 0x9b00dbd8U);
  const PhiloxWords ones = philox(~0ULL, ~0ULL, ~0ULL);
  EXPECT_EQ(ones.word[0], 0x408f276dU);
  EXPECT_EQ(ones.word[1], 0x41c83b0eU);
  EXPECT_EQ(ones.word[2], 0xa20bc7c6U);
  EXPECT_EQ(ones.word[3], 0x6d5451fdU);
}

TEST(Philox, KeysDifferInEveryPart) {
  std::set<std::uint64_t> keys;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    for (std::uint64_t step = 0; step < 10; ++step) {
      keys.insert(random_key(seed, Purpose::kDropout, {step, 0}));
      keys.insert(random_key(seed, Purpose::kDropout, {0, step + 100}));
      keys.insert(random_key(seed, Purpose::kMask, {step, 0}));
    }
  }
  EXPECT_EQ(keys.size(), 300U);
}

}  // namespace
}  // namespace polyphase
