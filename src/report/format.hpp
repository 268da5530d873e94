// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace polyphase::report {

// 75 → "1:15", 4000 → "1:06:40"; "–" for what is not finite.
std::string duration_text(double seconds);
// Three digits and a magnitude: 1234567 → "1.23 M", 6694 → "6.69 k", 42 → "42"; "–" for what is not
// finite.
std::string quantity_text(double value);
// Four significant digits, as a loss or an accuracy is read: 4.4386 → "4.439", 2 → "2.0"; "nan" for
// not-a-number.
std::string value_text(double value);
// 1234567 → "1,234,567".
std::string count_text(std::int64_t count);

// Characters of UTF-8 text, each taken as one column wide.
std::size_t width_of(const std::string& text);
// The first `columns` characters; never cuts one in two.
std::string cut_to(const std::string& text, std::size_t columns);

// Text made safe for HTML and XML, between tags and inside quoted attributes. Control characters
// other than tab and line feed, which XML forbids, and bytes that are not UTF-8 become U+FFFD.
std::string escape_html(const std::string& text);

}  // namespace polyphase::report
