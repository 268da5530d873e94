// SPDX-License-Identifier: Apache-2.0
#include "optimizer/name_pattern.hpp"

#include <algorithm>

namespace polyphase {
namespace {

// Length of the longest common subsequence.
std::size_t common_length(const std::string& a, const std::string& b) {
  std::vector<std::size_t> best(b.size() + 1, 0);
  for (const char letter : a) {
    std::size_t diagonal = 0;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = best[j];
      best[j] = letter == b[j - 1] ? diagonal + 1 : std::max(above, best[j - 1]);
      diagonal = above;
    }
  }
  return best.back();
}

}  // namespace

bool matches(const std::string& pattern, const std::string& name) {
  // The last '*' may take one character more whenever what follows it fails.
  std::size_t p = 0, n = 0, star = std::string::npos, taken = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p, ++n;
    } else if (star != std::string::npos) {
      p = star + 1;
      n = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<std::string> nearest_names(const std::string& pattern,
                                       const std::vector<std::string>& names, std::size_t count) {
  std::string letters = pattern;
  std::erase(letters, '*');
  std::erase(letters, '?');
  std::vector<std::pair<std::size_t, std::string>> ranked;  // letters missing, name
  for (const std::string& name : names) {
    ranked.emplace_back(letters.size() - common_length(letters, name), name);
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first, a.second.size()) < std::pair(b.first, b.second.size());
  });
  std::vector<std::string> nearest;
  for (std::size_t i = 0; i < std::min(count, ranked.size()); ++i) {
    nearest.push_back(ranked[i].second);
  }
  return nearest;
}

}  // namespace polyphase
