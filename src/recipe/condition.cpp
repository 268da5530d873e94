// SPDX-License-Identifier: Apache-2.0
#include "recipe/condition.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/error.hpp"
#include "recipe/faults.hpp"

namespace polyphase::recipe {
namespace {

constexpr int kMaxDepth = 32;  // of brackets and "not"

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '+';
}

std::vector<std::string> tokens_of(const std::string& text) {
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t begin = i;
    if (is_name_character(text[i])) {
      while (i < text.size() && is_name_character(text[i])) ++i;
    } else if (std::string("<>=!").find(text[i]) != std::string::npos) {
      i += i + 1 < text.size() && text[i + 1] == '=' ? 2 : 1;
    } else {
      ++i;
    }
    const std::string token = text.substr(begin, i - begin);
    if (token != " " && token != "\t" && token != "\n") tokens.push_back(token);
  }
  return tokens;
}

std::optional<double> number_of(const std::string& token) {
  double number = 0;
  const char* end = token.data() + token.size();
  const auto [stop, error] = std::from_chars(token.data(), end, number);
  if (error != std::errc() || stop != end || !std::isfinite(number)) return std::nullopt;
  return number;
}

bool is_comparison(const std::string& token) {
  return token == "<" || token == "<=" || token == ">" || token == ">=" || token == "==" ||
         token == "!=";
}

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text), tokens_(tokens_of(text)) {}

  Condition parse() {
    Condition condition = either(0);
    if (at_ < tokens_.size()) refuse("\"and\", \"or\" or the end");
    return condition;
  }

 private:
  Condition either(int depth) { return chain("or", Condition::Kind::kOr, depth); }

  Condition chain(const std::string& word, Condition::Kind kind, int depth) {
    const auto part = [&] {
      return kind == Condition::Kind::kOr ? chain("and", Condition::Kind::kAnd, depth) : one(depth);
    };
    Condition first = part();
    if (token() != word) return first;
    Condition all;
    all.kind = kind;
    all.parts.push_back(std::move(first));
    while (token() == word) {
      ++at_;
      all.parts.push_back(part());
    }
    return all;
  }

  Condition one(int depth) {
    if (depth > kMaxDepth) fail<RecipeError>("more than {} brackets in one another", kMaxDepth);
    if (token() == "not") {
      ++at_;
      Condition condition;
      condition.kind = Condition::Kind::kNot;
      condition.parts.push_back(one(depth + 1));
      return condition;
    }
    if (token() == "(") {
      ++at_;
      Condition condition = either(depth + 1);
      if (token() != ")") refuse("\")\"");
      ++at_;
      return condition;
    }
    return comparison();
  }

  Condition comparison() {
    Condition condition;
    condition.left = operand();
    if (!is_comparison(token())) {
      if (condition.left.name.empty()) refuse("a comparison such as \"<\"");
      condition.kind = Condition::Kind::kWord;
      return condition;
    }
    condition.kind = Condition::Kind::kCompare;
    condition.comparison = tokens_[at_++];
    condition.right = operand();
    return condition;
  }

  Condition::Operand operand() {
    const std::string name = token();
    if (name.empty() || !is_name_character(name.front()) || name == "and" || name == "or" ||
        name == "not") {
      refuse("a metric, a number or a word");
    }
    ++at_;
    const std::optional<double> number = number_of(name);
    return number ? Condition::Operand{"", *number} : Condition::Operand{name, 0};
  }

  std::string token() const { return at_ < tokens_.size() ? tokens_[at_] : ""; }

  [[noreturn]] void refuse(const std::string& expected) const {
    fail<RecipeError>("{} cannot be read: expected {} {}", quoted(text_), expected,
                      at_ < tokens_.size() ? "instead of " + quoted(tokens_[at_]) : "at its end");
  }

  const std::string& text_;
  std::vector<std::string> tokens_;
  std::size_t at_ = 0;
};

bool compare(double left, const std::string& comparison, double right) {
  if (std::isnan(left) || std::isnan(right)) return false;
  if (comparison == "<") return left < right;
  if (comparison == "<=") return left <= right;
  if (comparison == ">") return left > right;
  if (comparison == ">=") return left >= right;
  return (left == right) == (comparison == "==");
}

}  // namespace

std::vector<std::string> Condition::names() const {
  std::vector<std::string> all;
  for (const Operand& operand : {left, right}) {
    if (!operand.name.empty()) all.push_back(operand.name);
  }
  for (const Condition& part : parts) {
    for (const std::string& name : part.names()) {
      if (std::find(all.begin(), all.end(), name) == all.end()) all.push_back(name);
    }
  }
  return all;
}

bool Condition::holds(const std::function<double(const std::string&)>& value) const {
  const auto holds_part = [&value](const Condition& part) { return part.holds(value); };
  const auto number = [&value](const Operand& operand) {
    return operand.name.empty() ? operand.number : value(operand.name);
  };
  switch (kind) {
    case Kind::kOr:
      return std::any_of(parts.begin(), parts.end(), holds_part);
    case Kind::kAnd:
      return std::all_of(parts.begin(), parts.end(), holds_part);
    case Kind::kNot:
      return !parts.at(0).holds(value);
    case Kind::kWord:
      return compare(value(left.name), "!=", 0);
    case Kind::kCompare:
      return compare(number(left), comparison, number(right));
  }
  return false;
}

Condition parse_condition(const std::string& text) {
  if (tokens_of(text).empty()) return {};
  return Parser(text).parse();
}

ConditionName split_condition_name(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char c : name) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  const auto& words = condition_words();
  if (parts.size() <= 2 && std::find(words.begin(), words.end(), parts.back()) != words.end()) {
    return {parts.size() == 2 ? parts[0] : "", "", parts.back()};
  }
  if (parts.size() == 2) return {"", parts[0], parts[1]};
  if (parts.size() == 3) return {parts[0], parts[1], parts[2]};
  fail<RecipeError>("{} is neither a metric such as valid.loss or PHASE.valid.loss{}", quoted(name),
                    suggestion(name, words, "nor a word; the words"));
}

const std::vector<std::string>& condition_words() {
  static const std::vector<std::string> words = {"underfitting", "overfitting", "diverged",
                                                 "plateau"};
  return words;
}

}  // namespace polyphase::recipe
