// SPDX-License-Identifier: Apache-2.0
#include "corpus/sentence_pair.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace polyphase {
namespace {

// Draws of an anchor for another B. Documents of one sentence offer none, and may be most.
constexpr int kOtherTries = 1000;

// A, and where the B that follows it begins.
struct Border {
  TextRange a;
  std::int64_t sentence = 0;       // B begins with this sentence
  std::int64_t sentences_end = 0;  // of the document
  std::int64_t document = 0;
  bool truncated = false;
};

// A is a keyed number of whole sentences from the anchor on (from the one before it, if it is the
// last) of a document of several. Of a long A the end stays, which B continues.
Border border_of(Dataset& dataset, const Dataset::Document& document, std::int64_t anchor,
                 std::int64_t a_tokens, Draws& draws) {
  const std::int64_t end = document.first_sentence + document.num_sentences;
  const std::int64_t first = std::min(anchor, end - 2);
  const std::int64_t most =
      whole_sentences(dataset, first, end - 1 - first, a_tokens).num_sentences;
  const std::int64_t num_sentences = 1 + draws.below(most);
  const std::int64_t length = dataset.num_tokens_of(first, num_sentences);
  return {.a = {.first_sentence = first,
                .num_sentences = num_sentences,
                .skip = std::max<std::int64_t>(0, length - a_tokens),
                .num_tokens = std::min(length, a_tokens)},
          .sentence = first + num_sentences,
          .sentences_end = end,
          .document = document.number,
          .truncated = length > a_tokens};
}

// The border of a random other anchor, drawn under the same limit.
std::optional<Border> other_border(Dataset& dataset, const Border& own, std::int64_t a_tokens,
                                   Draws& draws) {
  for (int attempt = 0; attempt < kOtherTries; ++attempt) {
    const std::int64_t anchor = draws.below(dataset.num_sentences());
    const Dataset::Document document = dataset.document_of(anchor);
    // A corpus of a single document has to make do with other sentences of it.
    if (document.number == own.document && dataset.num_documents() > 1) continue;
    if (document.num_sentences == 1) continue;
    const Border border = border_of(dataset, document, anchor, a_tokens, draws);
    if (border.sentence != own.sentence) return border;
  }
  return std::nullopt;
}

// What follows the border, as far as it fits.
TextRange text_behind(Dataset& dataset, const Border& border, std::int64_t b_tokens,
                      bool& truncated) {
  TextRange range =
      whole_sentences(dataset, border.sentence, border.sentences_end - border.sentence, b_tokens);
  if (range.num_tokens > b_tokens) {
    range.num_tokens = b_tokens;
    truncated = true;
  }
  return range;
}

// A takes a third to two thirds of the room.
std::int64_t draw_a_tokens(std::int64_t total_tokens, Draws& draws) {
  const std::int64_t third = total_tokens / 3;
  return third + draws.below(third + 1);
}

}  // namespace

TextRange whole_sentences(Dataset& dataset, std::int64_t first, std::int64_t most,
                          std::int64_t num_tokens) {
  TextRange range{.first_sentence = first,
                  .num_sentences = 1,
                  .skip = 0,
                  .num_tokens = dataset.num_tokens_of(first)};
  while (range.num_sentences < most) {
    const std::int64_t next = dataset.num_tokens_of(first + range.num_sentences);
    if (range.num_tokens + next > num_tokens) break;
    range.num_tokens += next;
    ++range.num_sentences;
  }
  return range;
}

std::optional<LabelledPair> draw_labelled_pair(Dataset& dataset, std::int64_t anchor,
                                               std::int64_t total_tokens, Draws& draws) {
  const Dataset::Document document = dataset.document_of(anchor);
  if (document.num_sentences == 1) return std::nullopt;
  const bool wants_other = draws.below(2) == 1;
  const std::int64_t a_tokens = draw_a_tokens(total_tokens, draws);
  const Border own = border_of(dataset, document, anchor, a_tokens, draws);
  std::optional<Border> other;
  if (wants_other) other = other_border(dataset, own, a_tokens, draws);
  LabelledPair pair{.a = own.a, .b = {}, .label = other ? 1 : 0, .truncated = own.truncated};
  // The limit of B depends on A alone, so that B is as long in both classes.
  pair.b =
      text_behind(dataset, other ? *other : own, total_tokens - own.a.num_tokens, pair.truncated);
  return pair;
}

std::optional<LabelledPair> draw_ordered_pair(Dataset& dataset, std::int64_t anchor,
                                              std::int64_t total_tokens, Draws& draws) {
  const Dataset::Document document = dataset.document_of(anchor);
  if (document.num_sentences == 1) return std::nullopt;
  const bool swapped = draws.below(2) == 1;
  const std::int64_t a_tokens = draw_a_tokens(total_tokens, draws);
  const Border own = border_of(dataset, document, anchor, a_tokens, draws);
  LabelledPair pair{.a = own.a, .b = {}, .label = swapped ? 1 : 0, .truncated = own.truncated};
  pair.b = text_behind(dataset, own, total_tokens - own.a.num_tokens, pair.truncated);
  if (swapped) std::swap(pair.a, pair.b);
  return pair;
}

}  // namespace polyphase
