// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "text/tokenizer.hpp"

namespace polyphase {

// A table of words with their synonyms, as piece ids of one tokenizer.
class SynonymTable {
 public:
  using Pieces = std::vector<std::int32_t>;
  using Synonyms = std::vector<Pieces>;

  // Reads lines "word<TAB>synonym<TAB>…" of UTF-8 text; empty ones and those that begin with '#'
  // count as none. A synonym may be several words, the word itself is one. What the tokenizer has
  // no pieces for, or makes equal to the word, is left out. Throws DataError, naming file and line,
  // for a line without a synonym, an empty field, several words in front of the first tab, and a
  // table of which nothing is left; SystemError when the file cannot be read.
  SynonymTable(const std::string& path, const text::Tokenizer& tokenizer);

  // Null for a word, given by its pieces, that the table does not have.
  const Synonyms* find(const Pieces& word) const;
  std::size_t num_words() const { return synonyms_.size(); }
  // Of the file's bytes.
  const std::string& digest() const { return digest_; }

 private:
  void add_line(const std::string& line, const std::string& place,
                const text::Tokenizer& tokenizer);

  std::map<Pieces, Synonyms> synonyms_;
  std::string digest_;
};

}  // namespace polyphase
