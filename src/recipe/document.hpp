// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "recipe/faults.hpp"

namespace polyphase::recipe {

// One value of a YAML document as a plain tree, with the place it was written at. Aliases are
// copied in.
struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };

  struct Entry;

  Kind kind = Kind::kNull;
  Place place;
  std::string text;            // of a scalar
  std::vector<Node> items;     // of a list
  std::vector<Entry> entries;  // of a map, in the order of the file, keys unique

  Node* find(const std::string& key);
  const Node* find(const std::string& key) const;
  void erase(const std::string& key);
  Entry& append(const std::string& key, Node value);

  static Node scalar(std::string text);
  static Node list();
  static Node map();
};

struct Node::Entry {
  std::string key;
  Place place;  // of the key
  Node value;
};

// How places are named: by line and column of a file, or all by one text (an override).
enum class Marks { kLineAndColumn, kNameOnly };

// Parses one YAML document. Duplicate keys are added to `faults`; what cannot be read at all
// (syntax, text that is not UTF-8, more than 32 levels, aliases that would unfold to more than
// 20,000 values) throws RecipeError. Bounded in time and memory for any text.
Node parse_document(const std::string& yaml_text, const std::string& name, Marks marks,
                    Faults& faults);

// Writes the tree as YAML: maps one key a line, lists of scalars and short maps of scalars on one
// line.
std::string emit(const Node& root);

// The value as YAML on one line.
std::string flow_text(const Node& node);

// "a map", "a list", "nothing", or the quoted text of a scalar.
std::string description(const Node& node);

}  // namespace polyphase::recipe
