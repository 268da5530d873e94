// SPDX-License-Identifier: Apache-2.0
#include "metrics/unicode.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "metrics/lower_case_ranges.hpp"

namespace polyphase {
namespace {

struct Range {
  char32_t first, last;
};

bool in_ranges(const Range* begin, const Range* end, char32_t c) {
  const Range* range = std::lower_bound(
      begin, end, c, [](const Range& r, char32_t value) { return r.last < value; });
  return range != end && range->first <= c;
}

constexpr Range kWhiteSpace[] = {
    {0x09, 0x0D},     {0x1C, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
    {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
};

// Beyond ASCII: what is neither letter nor number.
constexpr Range kNoWord[] = {
    {0x80, 0xA9},       {0xAB, 0xB1},       {0xB4, 0xB4},     {0xB6, 0xB8},     {0xBB, 0xBB},
    {0xBF, 0xBF},       {0xD7, 0xD7},       {0xF7, 0xF7},     {0x2C2, 0x2C5},   {0x2D2, 0x2DF},
    {0x2E5, 0x2EB},     {0x2ED, 0x2ED},     {0x2EF, 0x36F},   {0x375, 0x375},   {0x378, 0x379},
    {0x37E, 0x37E},     {0x380, 0x385},     {0x387, 0x387},   {0x38B, 0x38B},   {0x38D, 0x38D},
    {0x3A2, 0x3A2},     {0x3F6, 0x3F6},     {0x482, 0x489},   {0x530, 0x530},   {0x557, 0x558},
    {0x55A, 0x55F},     {0x589, 0x58F},     {0x2000, 0x206F}, {0x2072, 0x2073}, {0x207A, 0x207E},
    {0x208A, 0x208F},   {0x209D, 0x2101},   {0x2103, 0x2106}, {0x2108, 0x2109}, {0x2114, 0x2114},
    {0x2116, 0x2118},   {0x211E, 0x2123},   {0x2125, 0x2125}, {0x2127, 0x2127}, {0x2129, 0x2129},
    {0x212E, 0x212E},   {0x213A, 0x213B},   {0x2140, 0x2144}, {0x214A, 0x214D}, {0x214F, 0x214F},
    {0x218A, 0x245F},   {0x249C, 0x24E9},   {0x2500, 0x2775}, {0x2794, 0x2BFF}, {0x3000, 0x3004},
    {0x3008, 0x3020},   {0x302A, 0x3030},   {0x3036, 0x3037}, {0x303D, 0x303F}, {0xFE00, 0xFE6F},
    {0xFE75, 0xFE75},   {0xFEFD, 0xFF0F},   {0xFF1A, 0xFF20}, {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65},
    {0xFFBF, 0xFFC1},   {0xFFC8, 0xFFC9},   {0xFFD0, 0xFFD1}, {0xFFD8, 0xFFD9}, {0xFFDD, 0xFFFF},
    {0x1F000, 0x1F0FF}, {0x1F10D, 0x1FAFF},
};

// The code point that starts at text[at], and the bytes it takes; 0 bytes when none is well formed.
struct Decoded {
  char32_t code_point;
  std::size_t num_bytes;
};

Decoded decode_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(at);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || at + length > text.size()) return {0, 0};
  char32_t code_point = lead & (0x7F >> length);
  for (std::size_t i = at + 1; i < at + length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {0, 0};
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};  // by length: no detours
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  if (code_point < kSmallest[length] || code_point > 0x10FFFF || surrogate) return {0, 0};
  return {code_point, length};
}

char32_t lower_case_of(char32_t c) {
  const LowerCaseRange* range =
      std::lower_bound(std::begin(kLowerCaseRanges), std::end(kLowerCaseRanges), c,
                       [](const LowerCaseRange& r, char32_t value) { return r.last < value; });
  if (range == std::end(kLowerCaseRanges) || c < range->first) return c;
  if ((c - range->first) % range->stride != 0) return c;
  return static_cast<char32_t>(static_cast<std::int32_t>(c) + range->shift);
}

}  // namespace

std::u32string decode_utf8(std::string_view text) {
  std::u32string result;
  for (std::size_t at = 0; at < text.size();) {
    const Decoded decoded = decode_at(text, at);
    result += decoded.num_bytes == 0 ? char32_t{0xFFFD} : decoded.code_point;
    at += std::max<std::size_t>(decoded.num_bytes, 1);
  }
  return result;
}

std::string encode_utf8(std::u32string_view text) {
  std::string result;
  for (const char32_t c : text) {
    const auto tail = [&](int shift) { result += static_cast<char>(0x80 | (c >> shift & 0x3F)); };
    if (c < 0x80) {
      result += static_cast<char>(c);
    } else if (c < 0x800) {
      result += static_cast<char>(0xC0 | c >> 6);
    } else if (c < 0x10000) {
      result += static_cast<char>(0xE0 | c >> 12);
      tail(6);
    } else {
      result += static_cast<char>(0xF0 | c >> 18);
      tail(12);
      tail(6);
    }
    if (c >= 0x80) tail(0);
  }
  return result;
}

bool is_white_space(char32_t c) {
  return in_ranges(std::begin(kWhiteSpace), std::end(kWhiteSpace), c);
}

bool is_word_character(char32_t c) {
  if (c < 0x80) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  }
  return !in_ranges(std::begin(kNoWord), std::end(kNoWord), c);
}

std::u32string lower_case(std::u32string_view text) {
  std::u32string result;
  for (const char32_t c : text) {
    if (c == 0x130) {  // the only letter whose lower case is two: i and a dot above
      result += U"i\u0307";
    } else {
      result += lower_case_of(c);
    }
  }
  return result;
}

std::vector<std::u32string> split_words(std::u32string_view text) {
  std::vector<std::u32string> words;
  bool open = false;
  for (const char32_t c : text) {
    const bool space = is_white_space(c);
    if (!space && !open) words.emplace_back();
    if (!space) words.back() += c;
    open = !space;
  }
  return words;
}

}  // namespace polyphase
