// SPDX-License-Identifier: Apache-2.0
#include "io/json.hpp"

#include <gtest/gtest.h>

#include <string>

namespace polyphase {
namespace {

std::string nested(int levels) {
  return std::string(static_cast<std::size_t>(levels), '[') +
         std::string(static_cast<std::size_t>(levels), ']');
}

TEST(Json, DeepValuesAreNoJson) {
  EXPECT_TRUE(parse_json(nested(kMaxJsonLevels)).is_array());
  EXPECT_TRUE(parse_json_or_discard(nested(kMaxJsonLevels + 1)).is_discarded());
  try {
    parse_json(nested(kMaxJsonLevels + 1));
    ADD_FAILURE() << "nothing was thrown";
  } catch (const nlohmann::json::exception& error) {
    EXPECT_STREQ(error.what(), "nested deeper than 500 levels");
  }
}

TEST(Json, BracketsInTextsAndSideBySideAreNoLevels) {
  const std::string brackets(2 * kMaxJsonLevels, '[');
  EXPECT_EQ(parse_json("\"\\\"" + brackets + "\""), "\"" + brackets);
  std::string list = "[[]";
  for (int i = 0; i < 2 * kMaxJsonLevels; ++i) list += ",[]";
  EXPECT_EQ(parse_json(list + "]").size(), 2U * kMaxJsonLevels + 1);
}

TEST(Json, WhatIsNoJsonIsNone) {
  EXPECT_THROW(parse_json("{"), nlohmann::json::exception);
  EXPECT_TRUE(parse_json_or_discard("{").is_discarded());
}

}  // namespace
}  // namespace polyphase
