// SPDX-License-Identifier: Apache-2.0
#include "recipe/document.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace polyphase::recipe {
namespace {

bool is_plain_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '/' || c == '+';
}

// Words that YAML readers take for something other than text. Numbers may stay plain: the reader of
// a recipe decides by the key what a scalar is.
bool is_plain(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") {
    return false;
  }
  if (text.front() == '-' && (text.size() == 1 || text[1] == '-' || text[1] == '.')) return false;
  if (text == "..." || text.front() == '.' || text.front() == '+') return false;
  return std::all_of(text.begin(), text.end(), is_plain_character);
}

std::string scalar_text(const std::string& text) {
  if (is_plain(text)) return text;
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

bool fits_on_a_line(const Node& node) {
  if (node.kind == Node::Kind::kList) {
    return std::all_of(node.items.begin(), node.items.end(),
                       [](const Node& item) { return item.kind == Node::Kind::kScalar; });
  }
  return node.kind != Node::Kind::kMap || node.entries.empty();
}

std::string on_a_line(const Node& node) {
  if (node.kind == Node::Kind::kScalar) return scalar_text(node.text);
  if (node.kind == Node::Kind::kNull) return "~";
  const bool map = node.kind == Node::Kind::kMap;
  std::vector<std::string> items;
  for (const Node& item : node.items) items.push_back(on_a_line(item));
  for (const Node::Entry& entry : node.entries) {
    items.push_back(scalar_text(entry.key) + ": " + on_a_line(entry.value));
  }
  return fmt::format("{}{}{}", map ? "{" : "[", fmt::join(items, ", "), map ? "}" : "]");
}

void emit_block(const Node& node, const std::string& indent, std::string first_indent,
                std::string& out) {
  if (node.kind == Node::Kind::kMap) {
    for (const Node::Entry& entry : node.entries) {
      out += std::exchange(first_indent, indent) + scalar_text(entry.key) + ":";
      if (fits_on_a_line(entry.value)) {
        out.append(" ").append(on_a_line(entry.value)).append("\n");
      } else {
        out += "\n";
        emit_block(entry.value, indent + "  ", indent + "  ", out);
      }
    }
    return;
  }
  for (const Node& item : node.items) {
    if (fits_on_a_line(item)) {
      out.append(indent).append("- ").append(on_a_line(item)).append("\n");
    } else {
      emit_block(item, indent + "  ", indent + "- ", out);
    }
  }
}

}  // namespace

const Node* Node::find(const std::string& key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

Node* Node::find(const std::string& key) {
  return const_cast<Node*>(static_cast<const Node*>(this)->find(key));
}

void Node::erase(const std::string& key) {
  entries.erase(std::remove_if(entries.begin(), entries.end(),
                               [&key](const Entry& entry) { return entry.key == key; }),
                entries.end());
}

Node::Entry& Node::append(const std::string& key, Node value) {
  Place place = value.place;
  entries.push_back({key, std::move(place), std::move(value)});
  return entries.back();
}

Node Node::scalar(std::string text) {
  Node node;
  node.kind = Kind::kScalar;
  node.text = std::move(text);
  return node;
}

Node Node::list() {
  Node node;
  node.kind = Kind::kList;
  return node;
}

Node Node::map() {
  Node node;
  node.kind = Kind::kMap;
  return node;
}

std::string emit(const Node& root) {
  std::string out;
  emit_block(root, "", "", out);
  return out;
}

std::string flow_text(const Node& node) { return on_a_line(node); }

std::string description(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "nothing";
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kMap:
      return "keys and values";
    case Node::Kind::kScalar:
      break;
  }
  return quoted(node.text);
}

}  // namespace polyphase::recipe
