// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

// When a strategy applies: "underfitting", or "valid.accuracy < 0.7 and not train.loss > 1.0".
namespace polyphase::recipe {

// An expression as a tree. Grammar, loosest first:
//   either     = both {"or" both}
//   both       = one {"and" one}
//   one        = "not" one | "(" either ")" | word | operand comparison operand
//   operand    = number | metric
//   comparison = "<" | "<=" | ">" | ">=" | "==" | "!="
// Words and metrics are names of letters, digits, "_", "-" and "."; both may have a phase in front:
// "pretrain.plateau", "pretrain.valid.loss".
struct Condition {
  enum class Kind { kOr, kAnd, kNot, kWord, kCompare };
  struct Operand {
    std::string name;  // empty: a number
    double number = 0;
  };

  Kind kind = Kind::kAnd;
  std::vector<Condition> parts;  // of or, and, not
  std::string comparison;
  Operand left, right;  // of a comparison; of a word, left

  // All names in it, in order.
  std::vector<std::string> names() const;
  // A word holds when its value is not 0; nothing holds of a value that is not a number.
  bool holds(const std::function<double(const std::string&)>& value) const;
};

// Empty text is a condition that always holds. RecipeError says what is wrong, without a place.
Condition parse_condition(const std::string& text);

// A name's parts: "pretrain.valid.loss" is {pretrain, valid, loss}; "valid.loss" has no phase;
// "plateau" is only a word.
struct ConditionName {
  std::string phase, part, metric;  // of a word, part is empty and metric the word
};
// RecipeError for a name of another form.
ConditionName split_condition_name(const std::string& name);

// underfitting, overfitting, diverged, plateau.
const std::vector<std::string>& condition_words();

}  // namespace polyphase::recipe
