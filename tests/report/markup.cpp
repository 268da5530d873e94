// SPDX-License-Identifier: Apache-2.0
#include "report/markup.hpp"

#include <regex>
#include <vector>

namespace polyphase::report {

namespace {

std::string around(const std::string& page, std::size_t at) {
  return page.substr(at < 40 ? 0 : at - 40, 120);
}

const std::regex& entity() {
  static const std::regex pattern("&(amp|lt|gt|quot|#39);");
  return pattern;
}

bool bare_character(const std::string& text) {
  return std::regex_replace(text, entity(), "").find_first_of("&<>") != std::string::npos;
}

}  // namespace

std::string markup_fault(const std::string& page) {
  static const std::regex tag(
      R"re(<(/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z][a-zA-Z0-9-]*="[^"<>]*")*)\s*(/?)>)re");
  std::vector<std::string> open;
  std::size_t at = page.rfind("<!DOCTYPE html>", 0) == 0 ? 15 : 0;
  while (at < page.size()) {
    const std::size_t next = std::min(page.find('<', at), page.size());
    const bool style = !open.empty() && open.back() == "style";
    if (!style && bare_character(page.substr(at, next - at)))
      return "bare character: " + around(page, at);
    if (next == page.size()) break;
    const std::size_t end = page.find('>', next);
    if (end == std::string::npos) return "tag without end: " + around(page, next);
    const std::string text = page.substr(next, end + 1 - next);
    std::smatch match;
    if (!std::regex_match(text, match, tag)) return "not a tag: " + around(page, next);
    if (bare_character(match[3])) return "bare character in an attribute: " + around(page, next);
    if (match[1].length() != 0) {
      if (open.empty() || open.back() != match[2])
        return "closed out of order: " + around(page, next);
      open.pop_back();
    } else if (match[4].length() == 0) {
      open.push_back(match[2]);
    }
    at = end + 1;
  }
  return open.empty() ? "" : "left open: " + open.back();
}

int count_of(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + part.size()))
    ++count;
  return count;
}

}  // namespace polyphase::report
