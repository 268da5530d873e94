// SPDX-License-Identifier: Apache-2.0
#include "report/format.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace polyphase::report {
namespace {

TEST(Format, DurationsReadLikeAClock) {
  EXPECT_EQ(duration_text(0), "0:00");
  EXPECT_EQ(duration_text(75.4), "1:15");
  EXPECT_EQ(duration_text(59.6), "1:00");
  EXPECT_EQ(duration_text(4000), "1:06:40");
  EXPECT_EQ(duration_text(NAN), "–");
  EXPECT_EQ(duration_text(INFINITY), "–");
}

TEST(Format, QuantitiesKeepThreeDigits) {
  EXPECT_EQ(quantity_text(42), "42");
  EXPECT_EQ(quantity_text(999), "999");
  EXPECT_EQ(quantity_text(999.6), "1.00 k");
  EXPECT_EQ(quantity_text(6694), "6.69 k");
  EXPECT_EQ(quantity_text(66940), "66.9 k");
  EXPECT_EQ(quantity_text(1234567), "1.23 M");
  EXPECT_EQ(quantity_text(NAN), "–");
}

TEST(Format, ValuesKeepFourDigitsAndCountsTheirThousands) {
  EXPECT_EQ(value_text(4.43864), "4.439");
  EXPECT_EQ(value_text(0.451), "0.4510");
  EXPECT_EQ(value_text(2), "2.0");
  EXPECT_EQ(value_text(NAN), "nan");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1234567), "1,234,567");
  EXPECT_EQ(count_text(-123456), "-123,456");
}

TEST(Format, CuttingNeverSplitsACharacter) {
  EXPECT_EQ(width_of("größe"), 5U);
  EXPECT_EQ(cut_to("größe", 3), "grö");
  EXPECT_EQ(cut_to("größe", 9), "größe");
  EXPECT_EQ(cut_to("größe", 0), "");
}

TEST(Format, EscapedTextCannotLeaveItsPlace) {
  EXPECT_EQ(escape_html("<a href=\"x\">'&'</a>"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
  EXPECT_EQ(escape_html("größe → 語 🙂"), "größe → 語 🙂");
}

TEST(Format, BytesThatAreNoTextAreReplaced) {
  const std::string mark = "\xEF\xBF\xBD";
  EXPECT_EQ(escape_html(std::string("a\0b\x1b[1m", 7)), "a" + mark + "b" + mark + "[1m");
  EXPECT_EQ(escape_html("\xFFx"), mark + "x");
  EXPECT_EQ(escape_html("x\xE8\xAA"), "x" + mark + mark);      // cut off in the middle
  EXPECT_EQ(escape_html("\xED\xA0\x80"), mark + mark + mark);  // a surrogate
  EXPECT_EQ(escape_html("\xE0\x80\xBC"), mark + mark + mark);  // '<' written too long
}

}  // namespace
}  // namespace polyphase::report
