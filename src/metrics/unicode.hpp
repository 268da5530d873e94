// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace polyphase {

// What metrics defined by Python programs need of Unicode (version 14).

// Code points of UTF-8 text; a byte that breaks the encoding becomes U+FFFD.
std::u32string decode_utf8(std::string_view text);
std::string encode_utf8(std::u32string_view text);

// Whether Python's str.split() splits there.
bool is_white_space(char32_t c);

// Whether Python's regular expressions take c for a part of a word (\w). Exact for ASCII, Latin,
// Greek, Cyrillic, Armenian, general punctuation, symbols and the forms at U+FE00 to U+FFFF; of
// the other scripts every code point counts as a letter, combining marks included.
bool is_word_character(char32_t c);

// Python's str.lower(), except that a capital sigma always becomes the inner sigma, also at a
// word's end.
std::u32string lower_case(std::u32string_view text);

// Words between white space, as Python's str.split() gives them.
std::vector<std::u32string> split_words(std::u32string_view text);

}  // namespace polyphase
