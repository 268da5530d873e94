// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

namespace polyphase::recipe {

// Keys whose values are not the same in all of these recipes, with the value in each; "–" where a
// recipe has no such key. Items of a list go by their names: "phases.topic.dropout". What may
// differ between runs that continue each other (run_dir, checkpoint …) is left out. RecipeError
// when one of them is not YAML.
std::map<std::string, std::vector<std::string>> differing_keys(
    const std::vector<std::string>& resolved);

}  // namespace polyphase::recipe
