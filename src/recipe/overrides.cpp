// SPDX-License-Identifier: Apache-2.0
#include "recipe/overrides.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace polyphase::recipe {
namespace {

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts(1);
  for (const char c : path) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

const Node* name_of(const Node& item) {
  const Node* name = item.find("name");
  return name != nullptr && name->kind == Node::Kind::kScalar ? name : nullptr;
}

Node* item_named(Node& list, const std::string& name) {
  for (Node& item : list.items) {
    const Node* item_name = name_of(item);
    if (item_name != nullptr && item_name->text == name) return &item;
  }
  return nullptr;
}

std::vector<std::string> names_in(const Node& node) {
  std::vector<std::string> names;
  for (const Node& item : node.items) {
    if (name_of(item) != nullptr) names.push_back(name_of(item)->text);
  }
  for (const Node::Entry& entry : node.entries) names.push_back(entry.key);
  return names;
}

bool is_key_path(const std::string& path) {
  const std::vector<std::string> parts = split_path(path);
  return std::none_of(parts.begin(), parts.end(),
                      [](const std::string& part) { return part.empty(); });
}

class Override {
 public:
  Override(Place place, Faults& faults) : place_(std::move(place)), faults_(faults) {}

  void apply(Node& root, const std::string& path, Node value) {
    const std::vector<std::string> parts = split_path(path);
    Node* section = &root;
    std::string walked;
    for (std::size_t i = 0; i + 1 < parts.size() && section != nullptr; ++i) {
      section = step(*section, walked, parts[i]);
      walked += (walked.empty() ? "" : ".") + parts[i];
    }
    if (section != nullptr) set(*section, walked, parts, std::move(value));
  }

 private:
  // The part of `node` called `key`, made when it is missing, or null after a fault.
  Node* step(Node& node, const std::string& walked, const std::string& key) {
    if (node.kind == Node::Kind::kNull) make_map(node);
    if (node.kind == Node::Kind::kScalar) {
      faults_.add(place_, fmt::format("{} is {}, which has no keys", walked, description(node)));
      return nullptr;
    }
    const bool by_name = node.kind == Node::Kind::kList || walked == "corpora";
    Node* part = node.kind == Node::Kind::kList ? item_named(node, key) : node.find(key);
    if (part != nullptr) return part;
    if (by_name) {
      faults_.add(place_, fmt::format("{} has nothing called {}{}", walked, quoted(key),
                                      suggestion(key, names_in(node), "the names there")));
      return nullptr;
    }
    Node map;
    make_map(map);
    return &node.append(key, std::move(map)).value;
  }

  void set(Node& section, const std::string& walked, const std::vector<std::string>& parts,
           Node value) {
    const std::string& key = parts.back();
    if (section.kind == Node::Kind::kList) {
      Node* item = step(section, walked, key);
      if (item != nullptr) *item = std::move(value);
      return;
    }
    if (section.kind == Node::Kind::kNull) make_map(section);
    if (section.kind == Node::Kind::kScalar) {
      faults_.add(place_, fmt::format("{} is {}, which has no keys", walked, description(section)));
      return;
    }
    if (parts.size() > 1 && parts[parts.size() - 2] == "stop" && value.kind != Node::Kind::kNull) {
      if (key == "steps") section.erase("epochs");
      if (key == "epochs") section.erase("steps");
    }
    if (value.kind == Node::Kind::kNull) {
      section.erase(key);
      return;
    }
    for (Node::Entry& entry : section.entries) {
      if (entry.key != key) continue;
      entry.place = place_;
      entry.value = std::move(value);
      return;
    }
    section.append(key, std::move(value)).place = place_;
  }

  void make_map(Node& node) const {
    node = Node::map();
    node.place = place_;
  }

  Place place_;
  Faults& faults_;
};

}  // namespace

void apply_overrides(Node& root, const std::vector<std::string>& overrides, Faults& faults) {
  for (const std::string& text : overrides) {
    const std::size_t equals = text.find('=');
    const std::string path = text.substr(0, equals);
    const Place place = {"--set " + path, ~std::size_t{0}};
    if (equals == std::string::npos || !is_key_path(path)) {
      faults.add(place, "expected key.path=value, such as phases.pretrain.stop.steps=60");
      continue;
    }
    Node value = parse_document(text.substr(equals + 1), place.text, Marks::kNameOnly, faults);
    Override(place, faults).apply(root, path, std::move(value));
  }
}

void apply_change(Node& root, const Change& change, const Place& place, Faults& faults) {
  if (!is_key_path(change.path)) {
    faults.add(place, fmt::format("{} is no key path; expected one such as "
                                  "phases.pretrain.stop.steps",
                                  quoted(change.path)));
    return;
  }
  Node value = parse_document(change.value, place.text, Marks::kNameOnly, faults);
  set_places(value, place);
  Override(place, faults).apply(root, change.path, std::move(value));
}

void set_places(Node& root, const Place& place) {
  root.place = place;
  for (Node& item : root.items) set_places(item, place);
  for (Node::Entry& entry : root.entries) {
    entry.place = place;
    set_places(entry.value, place);
  }
}

}  // namespace polyphase::recipe
