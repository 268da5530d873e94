// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "corpus/draws.hpp"
#include "corpus/synonyms.hpp"
#include "io/shard.hpp"

namespace polyphase {

// Random changes of a training text, word by word after Wei and Zou, 2019 ("EDA"), and spans after
// Lewis et al., 2020, section 2.2. A word is a piece that begins one with the pieces behind it.
struct Augmentation {
  double synonyms = 0;  // chance that a word that the table has becomes one of its synonyms
  double swap = 0;      // at a word: chance that it and the next one change places
  double remove = 0;    // chance that a word is left out; one word of a text always stays
  double span = 0;  // share of the words that lie in spans of 1 to 3, each one [MASK] afterwards
  double mask = 0;  // chance that every piece of a word becomes [MASK]
  std::shared_ptr<const SynonymTable> table;             // where synonyms > 0
  std::shared_ptr<const std::vector<bool>> begins_word;  // by token id
};

// What the labels of a text say.
enum class TextLabels {
  kNumbers,  // nothing of its tokens
  kPlaces    // the first and last token of an answer, or none
};

// Changes texts in the order of the fractions above, each step on what the one before left. Words
// that hold a part of an answer are never touched, nor does anything move across them, so the
// answer stays whole; its place follows. The tag of a word stays with its first piece.
class Augmenter {
 public:
  explicit Augmenter(const Augmentation& settings) : settings_(settings) {}

  // Changes the first `num_texts` texts (sentences) of `text`.
  void change(ShardText& text, std::int64_t num_texts, TextLabels labels, Draws& draws);

 private:
  struct Piece {
    std::int32_t id = 0;
    std::int64_t place = -1;  // in the text as it was; -1: new
  };
  struct Word {
    std::vector<Piece> pieces;
    bool fixed = false;
  };
  void split(const ShardText& text, std::int64_t begin, std::int64_t end, TextLabels labels);
  void replace_by_synonyms(Draws& draws);
  void swap_neighbours(Draws& draws);
  void remove_words(Draws& draws);
  void mask_spans(Draws& draws);
  void mask_words(Draws& draws);
  void append_words(const ShardText& from, TextLabels labels, ShardText& to) const;

  const Augmentation settings_;
  std::vector<Word> words_;  // of the text in hand
};

}  // namespace polyphase
