// SPDX-License-Identifier: Apache-2.0
#include "optimizer/name_pattern.hpp"

#include <gtest/gtest.h>

namespace polyphase {
namespace {

TEST(NamePattern, StandsForTheWholeName) {
  EXPECT_TRUE(matches("layers.0.norm.gain", "layers.0.norm.gain"));
  EXPECT_FALSE(matches("layers.0", "layers.0.norm.gain"));
  EXPECT_FALSE(matches("norm.gain", "layers.0.norm.gain"));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_TRUE(matches("", ""));
}

TEST(NamePattern, StarTakesAnyTextAndNone) {
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("*.norm*", "layers.0.norm.gain"));
  EXPECT_TRUE(matches("layers.*.weight", "layers.1.feed_forward.in.weight"));
  EXPECT_TRUE(matches("embedding*", "embedding"));
  EXPECT_FALSE(matches("layers.1.*", "layers.11.norm.gain"));
  EXPECT_FALSE(matches("*.weight", "layers.0.in.weights"));
}

TEST(NamePattern, StarTriesFurtherWhenTheRestFails) {
  EXPECT_TRUE(matches("*ab*ab", "aabxab"));
  EXPECT_TRUE(matches("*.in.*t", "a.in.b.in.weight"));
  EXPECT_FALSE(matches("*ab*ab", "xab"));
}

TEST(NamePattern, QuestionMarkTakesOneCharacter) {
  EXPECT_TRUE(matches("layers.?.norm", "layers.3.norm"));
  EXPECT_FALSE(matches("layers.?.norm", "layers.13.norm"));
}

// Backtracking over several stars would take 2^40 steps here.
TEST(NamePattern, ManyStarsTakeNoLongTime) {
  EXPECT_FALSE(matches("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", std::string(200, 'a')));
}

TEST(NamePattern, NearestNamesHaveMostOfItsLetters) {
  const std::vector<std::string> names = {"embedding.token.weight", "layers.0.norm.gain",
                                          "layers.0.attention.query.weight", "head.bias"};
  EXPECT_EQ(nearest_names("*.nrom.gain", names, 1), (std::vector<std::string>{names[1]}));
  EXPECT_EQ(nearest_names("embeding.*", names, 2)[0], names[0]);
  EXPECT_EQ(nearest_names("x", names, 9).size(), names.size());
}

}  // namespace
}  // namespace polyphase
