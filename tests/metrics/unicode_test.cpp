// SPDX-License-Identifier: Apache-2.0
#include "metrics/unicode.hpp"

#include <gtest/gtest.h>

#include "metrics/reference_numbers.hpp"

namespace polyphase {
namespace {

bool is_code_point(char32_t c) { return c < 0xD800 || c >= 0xE000; }

TEST(Unicode, LowerCaseOfEveryCodePointIsThatOfPython) {
  std::uint64_t digest = 0;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (!is_code_point(c)) continue;
    for (const char32_t lower : lower_case(std::u32string(1, c))) digest = digest * 1000003 + lower;
  }
  EXPECT_EQ(std::to_string(digest), reference_numbers("unicode").at("lower").get<std::string>());
}

TEST(Unicode, WhiteSpaceIsThatOfPython) {
  std::vector<std::uint32_t> found;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (is_code_point(c) && is_white_space(c)) found.push_back(c);
  }
  EXPECT_EQ(nlohmann::json(found), reference_numbers("unicode").at("white_space"));
}

TEST(Unicode, WordCharactersAreThoseOfPythonWhereTheHeaderSaysSo) {
  std::uint64_t count = 0, sum = 0;
  for (const nlohmann::json& range : reference_numbers("unicode").at("word_ranges")) {
    for (std::uint32_t c = range[0]; c < range[1]; ++c) {
      if (!is_word_character(c)) continue;
      ++count;
      sum += c;
    }
  }
  EXPECT_EQ(count, reference_numbers("unicode").at("num_word_characters"));
  EXPECT_EQ(sum, reference_numbers("unicode").at("sum_word_characters"));
}

TEST(Unicode, DecodingAndEncodingGiveTheTextBack) {
  std::u32string all;
  for (char32_t c = 0; c < 0x110000; c += 7) {
    if (is_code_point(c)) all += c;
  }
  EXPECT_EQ(decode_utf8(encode_utf8(all)), all);
  EXPECT_EQ(encode_utf8(U"aß東🙂"), "a\xC3\x9F\xE6\x9D\xB1\xF0\x9F\x99\x82");
}

TEST(Unicode, BytesThatBreakTheEncodingAreReplacedOneByOne) {
  EXPECT_EQ(decode_utf8("a\x80z"), U"a\uFFFDz");
  EXPECT_EQ(decode_utf8("\xC3"), U"\uFFFD");                      // cut off
  EXPECT_EQ(decode_utf8("\xC0\xAF"), U"\uFFFD\uFFFD");            // a detour to '/'
  EXPECT_EQ(decode_utf8("\xED\xA0\x80"), U"\uFFFD\uFFFD\uFFFD");  // a surrogate
  EXPECT_EQ(decode_utf8("\xE6\x9D"
                        "b"),
            U"\uFFFD\uFFFD"
            U"b");
}

}  // namespace
}  // namespace polyphase
