// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace polyphase {

// An entity: words [begin, end) of one type.
struct Entity {
  std::int64_t begin = 0, end = 0;
  std::string type;
  bool operator==(const Entity&) const = default;
};

// Entities of a sentence's BIO tags ("B-person", "I-person", "O"), read as the CoNLL-2000
// evaluation does (and seqeval in its default mode): an I- tag that follows another type or O
// begins an entity too.
std::vector<Entity> entities_of(const std::vector<std::string>& tags);

struct EntityCounts {
  std::int64_t correct = 0, predicted = 0, there = 0;
};

// Entities of both, and how many are the same in place and type.
EntityCounts compare_entities(const std::vector<std::string>& tags,
                              const std::vector<std::string>& predicted);

struct EntityScore {
  double precision = 0, recall = 0, f1 = 0;
};

// Precision, recall and F1 of summed counts over all types together (seqeval's average="micro");
// 0 where a ratio has no whole.
EntityScore entity_score(const EntityCounts& counts);

}  // namespace polyphase
