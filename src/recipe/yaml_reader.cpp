// SPDX-License-Identifier: Apache-2.0
// The only file that knows yaml-cpp. It takes the parser's events, not its node graph: a graph
// shares aliased nodes and can hold itself, so that walking one is where hostile documents do their
// harm.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <sstream>

#include "base/error.hpp"
#include "recipe/document.hpp"

namespace polyphase::recipe {
namespace {

constexpr std::size_t kMaxTextBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxValues = 20'000;
constexpr std::size_t kAfterTheFile = ~std::size_t{0};

// Length of the UTF-8 character that starts at `text[i]` (RFC 3629: shortest form, no surrogates),
// or 0.
std::size_t character_bytes(const std::string& text, std::size_t i) {
  const auto byte = [&](std::size_t k) -> unsigned {
    return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0U;
  };
  const auto continues = [&](std::size_t k) { return (byte(k) & 0xC0U) == 0x80U; };
  const unsigned lead = byte(0);
  if (lead < 0x80U) return 1;
  if (lead >= 0xC2U && lead <= 0xDFU) return continues(1) ? 2 : 0;
  if (lead >= 0xE0U && lead <= 0xEFU) {
    const bool overlong = lead == 0xE0U && byte(1) < 0xA0U;
    const bool surrogate = lead == 0xEDU && byte(1) > 0x9FU;
    return continues(1) && continues(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (lead >= 0xF0U && lead <= 0xF4U) {
    const bool overlong = lead == 0xF0U && byte(1) < 0x90U;
    const bool too_large = lead == 0xF4U && byte(1) > 0x8FU;
    return continues(1) && continues(2) && continues(3) && !overlong && !too_large ? 4 : 0;
  }
  return 0;
}

class Namer {
 public:
  Namer(std::string name, Marks marks) : name_(std::move(name)), marks_(marks) {}

  Place at(int line, int column, int position) const {
    if (marks_ == Marks::kNameOnly) return {name_, kAfterTheFile};
    if (line < 0) return {name_, 0};
    return {fmt::format("{}:{}:{}", name_, line + 1, column + 1),
            static_cast<std::size_t>(position < 0 ? 0 : position)};
  }
  Place at(const YAML::Mark& mark) const { return at(mark.line, mark.column, mark.pos); }

 private:
  std::string name_;
  Marks marks_;
};

void require_text(const std::string& text, const Namer& namer) {
  if (text.size() > kMaxTextBytes) {
    fail<RecipeError>("{}: {} bytes; a recipe has at most {} bytes: is this a recipe?",
                      namer.at(0, 0, 0).text, text.size(), kMaxTextBytes);
  }
  int line = 0;
  int column = 0;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t num_bytes = character_bytes(text, i);
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool control = byte < 0x20 && byte != '\n' && byte != '\t' && byte != '\r';
    if (num_bytes == 0 || control) {
      fail<RecipeError>("{}: byte 0x{:02x} is not UTF-8 text; save the recipe as UTF-8",
                        namer.at(line, column, 0).text, byte);
    }
    i += num_bytes;
    ++column;
    if (byte == '\n') {
      ++line;
      column = 0;
    }
  }
}

// Builds the tree from events, counting values so that aliases cannot multiply without end.
class Builder : public YAML::EventHandler {
 public:
  Builder(const Namer& namer, Faults& faults) : namer_(namer), faults_(faults) {}

  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    node.place = namer_.at(mark);
    add(std::move(node), anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(mark, tag);
    Node node = Node::scalar(value);
    node.place = namer_.at(mark);
    add(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      fail<RecipeError>("{}: this alias is inside the value that it stands for",
                        namer_.at(mark).text);
    }
    num_values_ += found->second.num_values;
    check_size(namer_.at(mark));
    Node copy = found->second.node;
    add(std::move(copy), 0);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    check_tag(mark, tag);
    open(Node::list(), mark, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    check_tag(mark, tag);
    open(Node::map(), mark, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    Node node;
    YAML::anchor_t anchor = 0;
    std::size_t values_before = 0;
    bool has_key = false;
    bool drop_value = false;  // of a duplicate key
    Node::Entry entry;        // whose value comes next
  };
  struct Anchored {
    Node node;
    std::size_t num_values;
  };

  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    faults_.add(namer_.at(mark), fmt::format("the YAML tag {} has no meaning in a recipe; "
                                             "remove it",
                                             quoted(tag)));
  }

  void check_size(const Place& place) const {
    if (num_values_ > kMaxValues) {
      fail<RecipeError>("{}: more than {} values, aliases unfolded; a recipe has some hundreds",
                        place.text, kMaxValues);
    }
  }

  void open(Node node, const YAML::Mark& mark, YAML::anchor_t anchor) {
    node.place = namer_.at(mark);
    if (open_.size() == kMaxDepth) {
      fail<RecipeError>("{}: more than {} levels of lists and maps; a recipe has five",
                        node.place.text, kMaxDepth);
    }
    Open level;
    level.node = std::move(node);
    level.anchor = anchor;
    level.values_before = num_values_;
    open_.push_back(std::move(level));
  }

  void close() {
    Open level = std::move(open_.back());
    open_.pop_back();
    add(std::move(level.node), level.anchor, num_values_ - level.values_before);
  }

  void add(Node node, YAML::anchor_t anchor, std::size_t values_inside = 0) {
    ++num_values_;
    check_size(node.place);
    if (anchor != 0) anchors_[anchor] = {node, values_inside + 1};
    if (open_.empty()) {
      root_ = std::move(node);
    } else if (open_.back().node.kind == Node::Kind::kList) {
      open_.back().node.items.push_back(std::move(node));
    } else {
      add_to_map(open_.back(), std::move(node));
    }
  }

  void add_to_map(Open& level, Node node) {
    if (level.has_key) {
      level.has_key = false;
      level.entry.value = std::move(node);
      if (!level.drop_value) level.node.entries.push_back(std::move(level.entry));
      return;
    }
    level.has_key = true;
    level.drop_value = true;
    level.entry = {node.text, node.place, {}};
    if (node.kind != Node::Kind::kScalar) {
      faults_.add(node.place, fmt::format("expected a key, found {}", description(node)));
      return;
    }
    for (const Node::Entry& earlier : level.node.entries) {
      if (earlier.key != node.text) continue;
      faults_.add(node.place, fmt::format("duplicate key {}; it stands at {} already",
                                          quoted(node.text), earlier.place.text));
      return;
    }
    level.drop_value = false;
  }

  const Namer& namer_;
  Faults& faults_;
  Node root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  std::size_t num_values_ = 0;
};

}  // namespace

Node parse_document(const std::string& yaml_text, const std::string& name, Marks marks,
                    Faults& faults) {
  const Namer namer(name, marks);
  require_text(yaml_text, namer);
  std::istringstream stream(yaml_text);
  Builder builder(namer, faults);
  try {
    YAML::Parser parser(stream);
    const bool any = parser.HandleNextDocument(builder);
    Node root = builder.take();
    if (!any) root.place = namer.at(0, 0, 0);
    Builder rest(namer, faults);
    if (any && parser.HandleNextDocument(rest)) {
      faults.add(rest.take().place, "a second YAML document; a recipe file holds one");
    }
    return root;
  } catch (const YAML::Exception& error) {
    fail<RecipeError>("{}: YAML: {}", namer.at(error.mark).text, error.msg);
  }
}

}  // namespace polyphase::recipe
