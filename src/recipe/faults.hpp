// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace polyphase::recipe {

// Where a fault is: "inputs/demo.yaml:14:9", or "--set phases.pretrain.stop.steps" for an override.
struct Place {
  std::string text;
  std::size_t order = 0;  // position in the file; overrides come after all of it
};

// Collects faults, so that a person sees all of them at once.
class Faults {
 public:
  void add(const Place& place, const std::string& message);

  // For faults that depend on several keys: silent where a key at `place` is at fault already,
  // since what was read there is a default and the message would mislead.
  void add_unless_known(const Place& place, const std::string& message);

  // Adds those of the other.
  void append(const Faults& other);

  bool empty() const { return lines_.empty(); }

  // Throws RecipeError with all faults in the order of the file, one a line, when there are any.
  void throw_if_any() const;

 private:
  std::multimap<std::size_t, std::string> lines_;
  std::map<std::string, std::size_t> num_faults_at_;
};

// The text as a person would quote it: "shortened …", with control characters written as escapes.
std::string quoted(const std::string& text);

// "; did you mean …?" when one of the candidates is near, else "; <what> are a, b, c".
std::string suggestion(const std::string& word, const std::vector<std::string>& candidates,
                       const std::string& what);

// "a", "a or b", "a, b or c".
std::string alternatives(const std::vector<std::string>& words);

}  // namespace polyphase::recipe
