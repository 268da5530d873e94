// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/digest.hpp"

namespace polyphase {
namespace {

TEST(Error, EveryKindHasItsExitCode) {
  EXPECT_EQ(exit_code_of(RecipeError("")), ExitCode::kUsage);
  EXPECT_EQ(exit_code_of(DataError("")), ExitCode::kData);
  EXPECT_EQ(exit_code_of(SystemError("")), ExitCode::kSystem);
  EXPECT_EQ(exit_code_of(std::logic_error("")), ExitCode::kSoftware);
}

TEST(Error, NearestFindsTheMisspeltKey) {
  const std::vector<std::string> keys = {"learning_rate", "weight_decay", "schedule"};
  EXPECT_EQ(nearest("learning_rat", keys), "learning_rate");
  EXPECT_EQ(nearest("wieght_decay", keys), "weight_decay");
  EXPECT_EQ(nearest("momentum", keys), "");
}

TEST(Error, EditDistanceCountsASwapOfNeighboursOnce) {
  EXPECT_EQ(edit_distance("abcd", "abdc"), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
}

TEST(Digest, PiecesGiveTheDigestOfTheWhole) {
  const std::string text(100000, 'x');
  StreamingDigest streaming;
  streaming.update(text.data(), 12345);
  streaming.update(text.data() + 12345, text.size() - 12345);
  EXPECT_EQ(streaming.value(), digest(text));
}

TEST(Digest, EqualsTheReferenceValueOfTheEmptyInput) {
  // XXH3_128bits of no bytes with seed 0, from the xxHash specification's sanity vectors.
  EXPECT_EQ(digest(std::string()), "99aa06d3014798d86001c324468d497f");
}

}  // namespace
}  // namespace polyphase
