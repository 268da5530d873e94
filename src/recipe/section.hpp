// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "recipe/document.hpp"
#include "recipe/faults.hpp"
#include "recipe/iterate.hpp"

namespace polyphase::recipe {

// What a number must be, in a form that can be told to a person.
struct Range {
  std::string words;  // "of at least 1"
  std::function<bool(double)> holds;
};
Range positive();                       // > 0
Range at_least(std::int64_t smallest);  // ≥ smallest
Range fraction();                       // in [0, 1]
Range fraction_below_one();             // in [0, 1)
Range fraction_between();               // in (0, 1)
Range fraction_above_zero();            // in (0, 1]
Range finite();

// One section of a recipe, described once for both directions: a description names each key with
// its field, and a Section either fills the fields from YAML or writes them. To add an option, add
// a field to the struct in recipe.hpp and one line to its description in schema.cpp.
class Section {
 public:
  // What all sections of one reading share.
  struct Reading {
    Faults& faults;
    std::map<std::string, Place>& places;  // key path → place of its value
  };

  // Reads from `node`; `path` is "phases.pretrain.optimizer", or "" for the whole recipe.
  static Section reader(const Node& node, std::string path, Reading& reading);
  // Writes to `node`.
  static Section writer(Node& node);

  bool writing() const { return out_ != nullptr; }
  const std::string& path() const { return path_; }

  // Keys that may be left out: the field keeps its default. Text is "" by default, and not written
  // then.
  void value(const std::string& key, std::int64_t& field, const Range& range);
  void value(const std::string& key, std::uint64_t& field);
  void value(const std::string& key, double& field, const Range& range);
  void value(const std::string& key, bool& field);
  void value(const std::string& key, std::string& field);
  void value(const std::string& key,
             std::vector<std::string>& field);  // one text stands for a list
  void value(const std::string& key, std::optional<std::int64_t>& field, const Range& range);
  void value(const std::string& key, std::optional<double>& field, const Range& range);
  // Names with weights > 0: "{mlm: 1.0, nsp: 1.0}".
  void weights(const std::string& key, std::map<std::string, double>& field);
  // Key paths with their values: "{phases.topic.dropout: 0.2}".
  void changes(const std::string& key, std::vector<Change>& field);
  // Seconds, "MM:SS" or "HH:MM:SS".
  void duration(const std::string& key, double& field_seconds);
  // One of a few words.
  void choice(const std::string& key, std::string& field, const std::vector<std::string>& words);
  template <class Enum>
  void choice(const std::string& key, Enum& field,
              const std::vector<std::pair<std::string, Enum>>& words);

  // A text that is safe as the name of a folder and as a part of a key path.
  void safe_name(const std::string& key, std::string& field);

  // A section below this one, described by describe(Section&, Record&).
  template <class Record>
  void section(const std::string& key, Record& record);
  template <class Record>
  void section(const std::string& key, std::optional<Record>& record);
  // A text, or a section: "from: pretrain", "from: {run: …}".
  template <class Record>
  void text_or_section(const std::string& key, std::string& text, std::optional<Record>& record);
  // Records by name, "glosses: {…}"; the name goes to Record::name.
  template <class Record>
  void sections_by_name(const std::string& key, std::vector<Record>& records);
  // A list of records of which each has a key `name`.
  template <class Record>
  void list_of_sections(const std::string& key, std::vector<Record>& records);

  // A fault when the key is missing.
  void require(const std::string& key, const std::string& what);

  // To be called after all keys were described: any other key is a fault.
  void finish();

 private:
  Section() = default;
  const Node* find(const std::string& key);  // notes the key as known; null when absent
  void fault(const Node& node, const std::string& key, const std::string& expected);
  Section below(const std::string& part, const Node& node);
  std::string path_of(const std::string& key) const;
  void write(const std::string& key, Node value);
  bool expect_map(const Node& node, const std::string& key, const std::string& what);
  const Node* find_list(const std::string& key);
  const Node* find_map(const std::string& key, const std::string& what);
  bool accept_name(const std::string& name, const Place& place, const std::string& path);
  std::string part_of(const std::string& key, const Node& list, std::size_t index) const;

  std::string path_;
  const Node* in_ = nullptr;
  Node* out_ = nullptr;
  Reading* reading_ = nullptr;
  std::vector<std::string> known_;
};

template <class Enum>
void Section::choice(const std::string& key, Enum& field,
                     const std::vector<std::pair<std::string, Enum>>& words) {
  std::vector<std::string> names;
  std::string name;
  for (const auto& [word, meaning] : words) {
    names.push_back(word);
    if (meaning == field) name = word;
  }
  choice(key, name, names);
  for (const auto& [word, meaning] : words) {
    if (word == name) field = meaning;
  }
}

template <class Record>
void Section::section(const std::string& key, Record& record) {
  if (writing()) {
    Node node = Node::map();
    Section inner = writer(node);
    describe(inner, record);
    write(key, std::move(node));
    return;
  }
  const Node* node = find_map(key, "keys and values");
  if (node == nullptr) return;
  Section inner = below(key, *node);
  describe(inner, record);
  inner.finish();
}

template <class Record>
void Section::section(const std::string& key, std::optional<Record>& record) {
  if (writing()) {
    if (record) section(key, *record);
    return;
  }
  if (find(key) == nullptr) return;
  record.emplace();
  section(key, *record);
}

template <class Record>
void Section::text_or_section(const std::string& key, std::string& text,
                              std::optional<Record>& record) {
  const Node* node = writing() ? nullptr : find(key);
  const bool is_section =
      writing() ? record.has_value() : node != nullptr && node->kind == Node::Kind::kMap;
  if (is_section) {
    section(key, record);
  } else {
    value(key, text);
  }
}

template <class Record>
void Section::sections_by_name(const std::string& key, std::vector<Record>& records) {
  if (writing()) {
    Node all = Node::map();
    for (Record& record : records) {
      Node node = Node::map();
      Section inner = writer(node);
      describe(inner, record);
      all.append(record.name, std::move(node));
    }
    write(key, std::move(all));
    return;
  }
  const Node* all = find_map(key, "names and their sections");
  if (all == nullptr) return;
  for (const Node::Entry& entry : all->entries) {
    const std::string part = key + "." + entry.key;
    if (!accept_name(entry.key, entry.place, key)) continue;
    if (!expect_map(entry.value, part, "keys and values")) continue;
    Record record;
    record.name = entry.key;
    Section inner = below(part, entry.value);
    describe(inner, record);
    inner.finish();
    records.push_back(std::move(record));
  }
}

template <class Record>
void Section::list_of_sections(const std::string& key, std::vector<Record>& records) {
  if (writing()) {
    Node all = Node::list();
    for (Record& record : records) {
      Node node = Node::map();
      Section inner = writer(node);
      describe(inner, record);
      all.items.push_back(std::move(node));
    }
    write(key, std::move(all));
    return;
  }
  const Node* all = find_list(key);
  if (all == nullptr) return;
  for (std::size_t i = 0; i < all->items.size(); ++i) {
    const std::string part = part_of(key, *all, i);
    if (!expect_map(all->items[i], part, "keys and values")) continue;
    Record record;
    Section inner = below(part, all->items[i]);
    describe(inner, record);
    inner.finish();
    records.push_back(std::move(record));
  }
}

}  // namespace polyphase::recipe
