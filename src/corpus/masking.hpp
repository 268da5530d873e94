// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "corpus/draws.hpp"

namespace polyphase {

// Tokens that a language model has to predict.
struct Targets {
  std::vector<std::int32_t> positions;  // ascending: the rows that predict
  std::vector<std::int32_t> labels;     // the token that each predicts
};

struct Masking {
  double fraction = 0.15;  // of the tokens that are not special
  std::int64_t vocab_size = 0;
  // Whole words: whether a word begins with the token id; a word is masked with all its pieces or
  // not at all. nullptr: tokens one by one.
  const std::vector<bool>* begins_word = nullptr;
};

// Draws BERT's masks into `tokens` (Devlin et al., 2019, section 3.1). Of the tokens that are not
// special, a share of `fraction` is chosen (rounded up or down by chance, so that the expectation
// is exact; at least one where there is any; with whole words, words in random order while they
// fit); of these 80 % become [MASK], 10 % a token drawn evenly from the vocabulary less the special
// ones, 10 % stay.
void draw_masks(std::vector<std::int32_t>& tokens, const Masking& masking, Draws& draws,
                Targets& targets);

}  // namespace polyphase
