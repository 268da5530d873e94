// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "corpus/prepare_plan.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// The texts of a corpus' training part as its files have them, in their order: sentences of a text
// corpus, the sources of one of kind generation. Reads the files once to check them, and then as
// often as it is asked to. Belongs to one rank.
class GivenTexts {
 public:
  // Throws what preparing the corpus throws: DataError with the place of what is wrong.
  GivenTexts(const recipe::Recipe& recipe, const std::string& corpus);

  // From the first text on again.
  void rewind();
  // False behind the last one.
  bool next(std::string& text);

 private:
  prepare::Plan plan_;
  bool only_sources_;  // of pairs
  std::vector<std::size_t> sources_;
  std::size_t next_source_ = 0, place_ = 0;
  std::function<bool(std::vector<std::string>&)> documents_;
  std::vector<std::string> document_;
};

}  // namespace polyphase
