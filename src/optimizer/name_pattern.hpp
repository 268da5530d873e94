// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace polyphase {

// Whether a whole name matches a pattern, in which '*' stands for any text (dots and none
// included) and '?' for any one character.
bool matches(const std::string& pattern, const std::string& name);

// The `count` names that have the most of the pattern's own characters in its order, the likeliest
// first: what a pattern without a match may have meant.
std::vector<std::string> nearest_names(const std::string& pattern,
                                       const std::vector<std::string>& names, std::size_t count);

}  // namespace polyphase
