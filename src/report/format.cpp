// SPDX-License-Identifier: Apache-2.0
#include "report/format.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>

namespace polyphase::report {

namespace {

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }

// Length in bytes of the UTF-8 character at `at`, or 0 when no whole one stands there.
std::size_t character_bytes(const std::string& text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  std::size_t length = 0;
  if (lead < 0x80U) length = 1;
  if (lead >= 0xC2U && lead < 0xE0U) length = 2;
  if (lead >= 0xE0U && lead < 0xF0U) length = 3;
  if (lead >= 0xF0U && lead < 0xF5U) length = 4;
  if (at + length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if (!is_continuation(text[at + i])) return 0;
  }
  if (length < 3) return length;
  // Overlong forms, surrogates and what lies beyond Unicode start like real characters: the second
  // byte tells.
  const auto second = static_cast<unsigned char>(text[at + 1]);
  const bool bad = (lead == 0xE0U && second < 0xA0U) || (lead == 0xEDU && second > 0x9FU) ||
                   (lead == 0xF0U && second < 0x90U) || (lead == 0xF4U && second > 0x8FU);
  return bad ? 0 : length;
}

}  // namespace

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e12) return "–";
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  const std::int64_t hours = whole / 3600, minutes = whole / 60 % 60;
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60);
  return fmt::format("{}:{:02}", minutes, whole % 60);
}

std::string quantity_text(double value) {
  if (!std::isfinite(value)) return "–";
  static constexpr std::array<const char*, 5> kMagnitudes = {"", " k", " M", " G", " T"};
  std::size_t magnitude = 0;
  // 999.5 would be written with four digits: it belongs to the next magnitude already.
  while (std::abs(value) >= 999.5 && magnitude + 1 < kMagnitudes.size()) {
    value /= 1000;
    ++magnitude;
  }
  const double size = std::abs(value);
  const int decimals = magnitude == 0 && value == std::floor(value) ? 0
                       : size >= 99.95                              ? 0
                       : size >= 9.995                              ? 1
                                                                    : 2;
  return fmt::format("{:.{}f}{}", value, decimals, kMagnitudes[magnitude]);
}

std::string value_text(double value) {
  if (std::abs(value) >= 1000) return quantity_text(value);
  if (!std::isfinite(value) || value == std::floor(value))
    return fmt::format("{:.{}f}", value, std::isfinite(value) ? 1 : 0);
  return fmt::format("{:#.4g}", value);
}

std::string count_text(std::int64_t count) {
  const std::string digits = std::to_string(count);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const bool group = (digits.size() - i) % 3 == 0 && i > 0 && digits[i - 1] != '-';
    if (group) text += ',';
    text += digits[i];
  }
  return text;
}

std::size_t width_of(const std::string& text) {
  std::size_t width = 0;
  for (const char byte : text) width += is_continuation(byte) ? 0 : 1;
  return width;
}

std::string cut_to(const std::string& text, std::size_t columns) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_continuation(text[i])) continue;
    if (width == columns) return text.substr(0, i);
    ++width;
  }
  return text;
}

std::string escape_html(const std::string& text) {
  static const std::string kReplacement = "\xEF\xBF\xBD";
  std::string safe;
  safe.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = character_bytes(text, i);
    const char c = text[i];
    if (length == 0) {
      safe += kReplacement;
    } else if (length > 1) {
      safe.append(text, i, length);
    } else if (c == '&') {
      safe += "&amp;";
    } else if (c == '<') {
      safe += "&lt;";
    } else if (c == '>') {
      safe += "&gt;";
    } else if (c == '"') {
      safe += "&quot;";
    } else if (c == '\'') {
      safe += "&#39;";
    } else if ((static_cast<unsigned char>(c) < 0x20U && c != '\t' && c != '\n') || c == '\x7F') {
      safe += kReplacement;
    } else {
      safe += c;
    }
    i += length == 0 ? 1 : length;
  }
  return safe;
}

}  // namespace polyphase::report
