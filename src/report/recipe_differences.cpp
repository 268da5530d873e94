// SPDX-License-Identifier: Apache-2.0
#include "report/recipe_differences.hpp"

#include <yaml-cpp/yaml.h>

#include <cstddef>

namespace polyphase::report {
namespace {

using Values = std::map<std::string, std::string>;

void collect(const YAML::Node& node, const std::string& path, Values& values) {
  const auto below = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
  if (node.IsMap()) {
    for (const auto& entry : node)
      collect(entry.second, below(entry.first.as<std::string>()), values);
  } else if (node.IsSequence()) {
    for (std::size_t i = 0; i < node.size(); ++i) {
      const bool named = node[i].IsMap() && node[i]["name"];
      collect(node[i], below(named ? node[i]["name"].as<std::string>() : std::to_string(i)),
              values);
    }
  } else {
    values[path] = node.IsScalar() ? node.Scalar() : "";
  }
}

}  // namespace

std::map<std::string, std::vector<std::string>> recipe_differences(
    const std::vector<std::string>& recipes) {
  std::map<std::string, std::vector<std::string>> by_key;
  for (std::size_t r = 0; r < recipes.size(); ++r) {
    Values values;
    try {
      collect(YAML::Load(recipes[r]), "", values);
    } catch (const YAML::Exception&) {
      return {};
    }
    for (const auto& [key, value] : values) {
      auto& all = by_key.emplace(key, std::vector<std::string>(recipes.size(), "–")).first->second;
      all[r] = value;
    }
  }
  std::erase_if(by_key, [](const auto& entry) {
    return entry.second == std::vector<std::string>(entry.second.size(), entry.second.front());
  });
  return by_key;
}

}  // namespace polyphase::report
