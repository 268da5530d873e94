// SPDX-License-Identifier: Apache-2.0
#include "io/json.hpp"

#include <string>

namespace polyphase {
namespace {

struct NestedTooDeep : nlohmann::json::exception {
  // The library's own numbers end at 502.
  NestedTooDeep() : exception(601, kWords.c_str()) {}
  inline static const std::string kWords =
      "nested deeper than " + std::to_string(kMaxJsonLevels) + " levels";
};

bool is_nested_too_deep(std::string_view text) {
  int level = 0;
  bool in_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\') ++i;
      if (c == '"') in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '[' || c == '{') {
      if (++level > kMaxJsonLevels) return true;
    } else if (c == ']' || c == '}') {
      --level;
    }
  }
  return false;
}

}  // namespace

nlohmann::json parse_json(std::string_view text) {
  if (is_nested_too_deep(text)) throw NestedTooDeep();
  return nlohmann::json::parse(text);
}

nlohmann::json parse_json_or_discard(std::string_view text) {
  if (is_nested_too_deep(text)) return nlohmann::json::value_t::discarded;
  return nlohmann::json::parse(text, nullptr, false);
}

}  // namespace polyphase
