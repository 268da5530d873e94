// SPDX-License-Identifier: Apache-2.0
#include "recipe/section.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "recipe/scalars.hpp"

namespace polyphase::recipe {
namespace {

constexpr std::size_t kMaxNameBytes = 64;
constexpr std::int64_t kLargestCount =
    1'000'000'000'000;  // times a number of ranks, still far from overflow

bool is_safe_name(const std::string& name) {
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= kMaxNameBytes && letter_or_digit(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return letter_or_digit(c) || c == '-' || c == '_'; });
}

std::string with_range(const std::string& what, const Range& range) {
  return what + " " + range.words;
}

}  // namespace

Section Section::reader(const Node& node, std::string path, Reading& reading) {
  Section section;
  section.in_ = &node;
  section.path_ = std::move(path);
  section.reading_ = &reading;
  return section;
}

Section Section::writer(Node& node) {
  Section section;
  section.out_ = &node;
  return section;
}

void Section::value(const std::string& key, std::int64_t& field, const Range& range) {
  if (writing()) return write(key, Node::scalar(fmt::format("{}", field)));
  const Node* node = find(key);
  if (node == nullptr) return;
  const std::optional<std::int64_t> number = to_integer(*node);
  if (!number || !range.holds(static_cast<double>(*number))) {
    fault(*node, key, with_range("a whole number", range));
  } else if (*number > kLargestCount) {
    fault(*node, key, fmt::format("a whole number of at most {}", kLargestCount));
  } else {
    field = *number;
  }
}

void Section::value(const std::string& key, std::uint64_t& field) {
  if (writing()) return write(key, Node::scalar(fmt::format("{}", field)));
  const Node* node = find(key);
  if (node == nullptr) return;
  const std::optional<std::uint64_t> number = to_unsigned(*node);
  if (number) {
    field = *number;
  } else {
    fault(*node, key, "a whole number from 0 to 18446744073709551615");
  }
}

void Section::value(const std::string& key, double& field, const Range& range) {
  if (writing()) return write(key, Node::scalar(fmt::format("{}", field)));
  const Node* node = find(key);
  if (node == nullptr) return;
  const std::optional<double> number = to_number(*node);
  if (number && range.holds(*number)) {
    field = *number;
  } else {
    fault(*node, key, with_range("a number", range));
  }
}

void Section::value(const std::string& key, bool& field) {
  if (writing()) return write(key, Node::scalar(field ? "true" : "false"));
  const Node* node = find(key);
  if (node == nullptr) return;
  const bool word = node->kind == Node::Kind::kScalar;
  if (word && (node->text == "true" || node->text == "false")) {
    field = node->text == "true";
  } else {
    fault(*node, key, "true or false");
  }
}

void Section::value(const std::string& key, std::string& field) {
  if (writing()) {
    if (!field.empty()) write(key, Node::scalar(field));
    return;
  }
  const Node* node = find(key);
  if (node == nullptr) return;
  if (node->kind == Node::Kind::kScalar && !node->text.empty()) {
    field = node->text;
  } else {
    fault(*node, key, "a text");
  }
}

void Section::value(const std::string& key, std::vector<std::string>& field) {
  if (writing()) {
    if (field.empty()) return;
    Node list = Node::list();
    for (const std::string& text : field) list.items.push_back(Node::scalar(text));
    return write(key, std::move(list));
  }
  const Node* node = find(key);
  if (node == nullptr) return;
  const auto is_text = [](const Node& item) {
    return item.kind == Node::Kind::kScalar && !item.text.empty();
  };
  if (is_text(*node)) {
    field = {node->text};
    return;
  }
  if (node->kind != Node::Kind::kList) return fault(*node, key, "a list of texts");
  field.clear();
  for (std::size_t i = 0; i < node->items.size(); ++i) {
    const Node& item = node->items[i];
    const std::string part = fmt::format("{}[{}]", key, i);
    reading_->places[path_of(part)] = item.place;
    if (is_text(item)) {
      field.push_back(item.text);
    } else {
      fault(item, part, "a text");
    }
  }
}

void Section::value(const std::string& key, std::optional<std::int64_t>& field,
                    const Range& range) {
  if (writing() && !field) return;
  if (!writing() && find(key) == nullptr) return;
  std::int64_t number = field.value_or(0);
  value(key, number, range);
  field = number;
}

void Section::value(const std::string& key, std::optional<double>& field, const Range& range) {
  if (writing() && !field) return;
  if (!writing() && find(key) == nullptr) return;
  double number = field.value_or(0);
  value(key, number, range);
  field = number;
}

void Section::weights(const std::string& key, std::map<std::string, double>& field) {
  if (writing()) {
    if (field.empty()) return;
    Node map = Node::map();
    for (const auto& [name, weight] : field) {
      map.append(name, Node::scalar(fmt::format("{}", weight)));
    }
    return write(key, std::move(map));
  }
  const Node* node = find_map(key, "names with their weights, such as {name: 1.0}");
  if (node == nullptr) return;
  field.clear();
  for (const Node::Entry& entry : node->entries) {
    const std::optional<double> weight = to_number(entry.value);
    const std::string part = key + "." + entry.key;
    reading_->places[path_of(part)] = entry.place;
    field[entry.key] = weight.value_or(1.0);
    if (!weight || *weight <= 0) fault(entry.value, part, "a weight greater than 0");
  }
}

void Section::changes(const std::string& key, std::vector<Change>& field) {
  if (writing()) {
    Faults faults;
    Node map = Node::map();
    for (const Change& change : field) {
      map.append(change.path, parse_document(change.value, change.path, Marks::kNameOnly, faults));
    }
    faults.throw_if_any();
    return write(key, std::move(map));
  }
  const Node* node =
      find_map(key, "key paths with their values, such as {phases.topic.dropout: 0.2}");
  if (node == nullptr) return;
  field.clear();
  for (const Node::Entry& entry : node->entries) {
    reading_->places[path_of(key + "." + entry.key)] = entry.place;
    const bool empty = entry.value.kind == Node::Kind::kNull;
    field.push_back({entry.key, empty ? "" : flow_text(entry.value)});
  }
}

void Section::duration(const std::string& key, double& field_seconds) {
  if (writing()) return write(key, Node::scalar(fmt::format("{}", field_seconds)));
  const Node* node = find(key);
  if (node == nullptr) return;
  const std::optional<double> seconds = to_seconds(*node);
  if (seconds) {
    field_seconds = *seconds;
  } else {
    fault(*node, key, "seconds, MM:SS or HH:MM:SS");
  }
}

void Section::choice(const std::string& key, std::string& field,
                     const std::vector<std::string>& words) {
  if (writing()) return write(key, Node::scalar(field));
  const Node* node = find(key);
  if (node == nullptr) return;
  const bool known = node->kind == Node::Kind::kScalar &&
                     std::find(words.begin(), words.end(), node->text) != words.end();
  if (known) {
    field = node->text;
  } else {
    fault(*node, key, alternatives(words));
  }
}

void Section::safe_name(const std::string& key, std::string& field) {
  value(key, field);
  if (writing() || field.empty()) return;
  const Node* node = find(key);
  if (node != nullptr) accept_name(field, node->place, path_of(key));
}

void Section::require(const std::string& key, const std::string& what) {
  if (writing() || in_->find(key) != nullptr) return;
  const std::string where = path_.empty() ? "the recipe" : path_;
  reading_->faults.add(in_->place, fmt::format("{} lacks the key \"{}\": {}", where, key, what));
}

void Section::finish() {
  if (writing()) return;
  for (const Node::Entry& entry : in_->entries) {
    if (std::find(known_.begin(), known_.end(), entry.key) != known_.end()) continue;
    const std::string where = path_.empty() ? "the recipe" : path_;
    reading_->faults.add(entry.place,
                         fmt::format("unknown key {} in {}{}", quoted(entry.key), where,
                                     suggestion(entry.key, known_, "the keys there")));
  }
}

const Node* Section::find(const std::string& key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.push_back(key);
  const Node* node = in_->find(key);
  if (node != nullptr) reading_->places[path_of(key)] = node->place;
  return node;
}

const Node* Section::find_map(const std::string& key, const std::string& what) {
  const Node* node = find(key);
  return node != nullptr && expect_map(*node, key, what) ? node : nullptr;
}

const Node* Section::find_list(const std::string& key) {
  const Node* node = find(key);
  if (node == nullptr || node->kind == Node::Kind::kList) return node;
  fault(*node, key, "a list");
  return nullptr;
}

bool Section::expect_map(const Node& node, const std::string& key, const std::string& what) {
  reading_->places[path_of(key)] = node.place;
  if (node.kind == Node::Kind::kMap) return true;
  fault(node, key, what);
  return false;
}

bool Section::accept_name(const std::string& name, const Place& place, const std::string& path) {
  if (is_safe_name(name)) return true;
  reading_->faults.add(place, fmt::format("{}: the name {} cannot be a folder's; use up to {} "
                                          "letters, digits, - and _, a letter or digit first",
                                          path, quoted(name), kMaxNameBytes));
  return false;
}

// "phases.pretrain", or "phases[0]" while the name is missing or taken by an earlier one.
std::string Section::part_of(const std::string& key, const Node& list, std::size_t index) const {
  const auto name_of = [&list](std::size_t i) {
    const Node* name = list.items[i].find("name");
    return name != nullptr && name->kind == Node::Kind::kScalar ? name->text : std::string();
  };
  const std::string name = name_of(index);
  bool usable = is_safe_name(name);
  for (std::size_t i = 0; usable && i < index; ++i) usable = name_of(i) != name;
  return usable ? key + "." + name : fmt::format("{}[{}]", key, index);
}

void Section::fault(const Node& node, const std::string& key, const std::string& expected) {
  reading_->faults.add(
      node.place, fmt::format("{} is {}; expected {}", path_of(key), description(node), expected));
}

Section Section::below(const std::string& part, const Node& node) {
  return reader(node, path_of(part), *reading_);
}

std::string Section::path_of(const std::string& key) const {
  return path_.empty() ? key : path_ + "." + key;
}

void Section::write(const std::string& key, Node value) { out_->append(key, std::move(value)); }

}  // namespace polyphase::recipe
