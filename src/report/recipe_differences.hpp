// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

namespace polyphase::report {

// Keys whose values are not the same in all of these recipes (YAML text), with the value in each;
// "–" where a recipe has no such key. Entries of lists go by their `name` where they have one:
// "phases.topic.dropout". Empty when one of the texts is not YAML.
std::map<std::string, std::vector<std::string>> recipe_differences(
    const std::vector<std::string>& recipes);

}  // namespace polyphase::report
