// SPDX-License-Identifier: Apache-2.0
#include "recipe/scalars.hpp"

#include <gtest/gtest.h>

namespace polyphase::recipe {
namespace {

TEST(Scalars, IntegersAreDigitsOrWholeNumbers) {
  EXPECT_EQ(to_integer(Node::scalar("-12")), -12);
  EXPECT_EQ(to_integer(Node::scalar("5e3")), 5000);
  EXPECT_EQ(to_integer(Node::scalar("2.0")), 2);
  EXPECT_EQ(to_integer(Node::scalar("9223372036854775807")), INT64_MAX);
  for (const char* text : {"", "1_000", "1,000", "0x10", "2.5", "1e30", "nan", " 1", "1 ", "one"}) {
    EXPECT_FALSE(to_integer(Node::scalar(text)).has_value()) << text;
  }
  EXPECT_FALSE(to_integer(Node::list()).has_value());
}

TEST(Scalars, UnsignedRefusesNegatives) {
  EXPECT_EQ(to_unsigned(Node::scalar("18446744073709551615")), UINT64_MAX);
  EXPECT_FALSE(to_unsigned(Node::scalar("-1")).has_value());
  EXPECT_FALSE(to_unsigned(Node::scalar("-5e3")).has_value());
}

TEST(Scalars, NumbersAreFinite) {
  EXPECT_EQ(to_number(Node::scalar("5e-4")), 5e-4);
  for (const char* text : {"inf", "-inf", "nan", "1e999", "1.2.3", ""}) {
    EXPECT_FALSE(to_number(Node::scalar(text)).has_value()) << text;
  }
}

TEST(Scalars, DurationsHaveThreeForms) {
  EXPECT_EQ(to_seconds(Node::scalar("90")), 90);
  EXPECT_EQ(to_seconds(Node::scalar("1.5")), 1.5);
  EXPECT_EQ(to_seconds(Node::scalar("1:30")), 90);
  EXPECT_EQ(to_seconds(Node::scalar("100:00:01")), 360001);
  for (const char* text : {"-1", ":30", "1:", "1:60", "1:2:3:4", "1:-2", "1:2.5", "a:b"}) {
    EXPECT_FALSE(to_seconds(Node::scalar(text)).has_value()) << text;
  }
}

}  // namespace
}  // namespace polyphase::recipe
