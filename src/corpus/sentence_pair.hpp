// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "corpus/dataset.hpp"
#include "corpus/draws.hpp"

namespace polyphase {

// Tokens [skip, skip + num_tokens) of `num_sentences` sentences in a row.
struct TextRange {
  std::int64_t first_sentence = 0, num_sentences = 0;
  std::int64_t skip = 0, num_tokens = 0;
};

// As many whole sentences from `first` on as fit into `num_tokens`: at most `most`, at least one,
// whatever its length.
TextRange whole_sentences(Dataset& dataset, std::int64_t first, std::int64_t most,
                          std::int64_t num_tokens);

struct LabelledPair {
  TextRange a, b;
  std::int32_t label = 0;  // 0: B follows A, 1: B is the B of another pair
  bool truncated = false;  // a sentence did not fit and lost its outer end
};

// The next-sentence sample of `anchor` by the scheme that SampleMaker describes, of at most
// `total_tokens` ≥ 5; empty when the anchor is its document's only sentence. Where no other
// document's B is found (a corpus of one document of two sentences), the label is 0.
std::optional<LabelledPair> draw_labelled_pair(Dataset& dataset, std::int64_t anchor,
                                               std::int64_t total_tokens, Draws& draws);

// The same for sentence order: A and the B that follows it, swapped (label 1) or not (label 0).
std::optional<LabelledPair> draw_ordered_pair(Dataset& dataset, std::int64_t anchor,
                                              std::int64_t total_tokens, Draws& draws);

}  // namespace polyphase
