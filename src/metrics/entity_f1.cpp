// SPDX-License-Identifier: Apache-2.0
#include "metrics/entity_f1.hpp"

#include <algorithm>

#include "metrics/ratio.hpp"

namespace polyphase {

std::vector<Entity> entities_of(const std::vector<std::string>& tags) {
  std::vector<Entity> entities;
  bool open = false;
  for (std::size_t i = 0; i < tags.size(); ++i) {
    const std::string& tag = tags[i];
    const auto word = static_cast<std::int64_t>(i);
    // A tag without a prefix other than O is an entity's inside of that type, as in plain tag sets.
    const bool outside = tag == "O";
    const bool begins = tag.rfind("B-", 0) == 0;
    const std::string type = begins || tag.rfind("I-", 0) == 0 ? tag.substr(2) : tag;
    if (!outside && !begins && open && entities.back().type == type) {
      entities.back().end = word + 1;
    } else if (!outside) {
      entities.push_back({.begin = word, .end = word + 1, .type = type});
    }
    open = !outside;
  }
  return entities;
}

EntityCounts compare_entities(const std::vector<std::string>& tags,
                              const std::vector<std::string>& predicted) {
  const std::vector<Entity> there = entities_of(tags), found = entities_of(predicted);
  EntityCounts counts = {.predicted = static_cast<std::int64_t>(found.size()),
                         .there = static_cast<std::int64_t>(there.size())};
  for (const Entity& entity : found) {
    if (std::find(there.begin(), there.end(), entity) != there.end()) ++counts.correct;
  }
  return counts;
}

EntityScore entity_score(const EntityCounts& counts) {
  const double correct = static_cast<double>(counts.correct),
               predicted = static_cast<double>(counts.predicted),
               there = static_cast<double>(counts.there);
  return {.precision = ratio_or_zero(correct, predicted),
          .recall = ratio_or_zero(correct, there),
          .f1 = ratio_or_zero(2 * correct, predicted + there)};
}

}  // namespace polyphase
