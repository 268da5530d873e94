// SPDX-License-Identifier: Apache-2.0
#include "corpus/sentence_pair.hpp"

#include <algorithm>
#include <optional>

#include "base/error.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kAnchorTries = 1000;
constexpr int kSameSortTries =
    24;  // for a B of a document of the same sort (one sentence or more) …
constexpr int kOtherTries = 32;  // … then of any sort

// A, and where the B that follows it begins.
struct Border {
  TextRange a;
  std::int64_t sentence = 0, skip = 0;  // B begins with token `skip` of this sentence
  std::int64_t sentences_end = 0;       // of the document
  std::int64_t document = 0;
  bool is_cut = false;  // the document is a single sentence, cut in two
  bool truncated = false;
};

// A document of one sentence: the cut falls between two tokens of the middle half. Of a long first
// part the end stays, which B continues. Empty for a sentence of one token.
std::optional<Border> cut_sentence(Dataset& dataset, const Dataset::Document& document,
                                   std::int64_t a_tokens, Draws& draws) {
  const std::int64_t length = dataset.num_tokens_of(document.first_sentence);
  if (length < 2) return std::nullopt;
  const std::int64_t lowest = std::max<std::int64_t>(1, length / 4);
  const std::int64_t cut = lowest + draws.below(length - 2 * lowest + 1);
  return Border{.a = {.first_sentence = document.first_sentence,
                      .num_sentences = 1,
                      .skip = std::max<std::int64_t>(0, cut - a_tokens),
                      .num_tokens = std::min(cut, a_tokens)},
                .sentence = document.first_sentence,
                .skip = cut,
                .sentences_end = document.first_sentence + 1,
                .document = document.number,
                .is_cut = true,
                .truncated = cut > a_tokens};
}

// A is a keyed number of whole sentences from the anchor on (from the one before it, if it is the
// last).
std::optional<Border> border_of(Dataset& dataset, const Dataset::Document& document,
                                std::int64_t anchor, std::int64_t a_tokens, Draws& draws) {
  if (document.num_sentences == 1) return cut_sentence(dataset, document, a_tokens, draws);
  const std::int64_t end = document.first_sentence + document.num_sentences;
  const std::int64_t first = std::min(anchor, end - 2);
  const std::int64_t most =
      whole_sentences(dataset, first, end - 1 - first, a_tokens).num_sentences;
  const std::int64_t num_sentences = 1 + draws.below(most);
  const std::int64_t length = dataset.num_tokens_of(first, num_sentences);
  return Border{.a = {.first_sentence = first,
                      .num_sentences = num_sentences,
                      .skip = std::max<std::int64_t>(0, length - a_tokens),
                      .num_tokens = std::min(length, a_tokens)},
                .sentence = first + num_sentences,
                .skip = 0,
                .sentences_end = end,
                .document = document.number,
                .is_cut = false,
                .truncated = length > a_tokens};
}

Border own_border(Dataset& dataset, std::int64_t anchor, std::int64_t a_tokens, Draws& draws) {
  const std::int64_t tries = std::min(kAnchorTries, dataset.num_sentences());
  for (std::int64_t i = 0; i < tries; ++i) {
    const std::int64_t sentence = (anchor + i) % dataset.num_sentences();
    const auto border =
        border_of(dataset, dataset.document_of(sentence), sentence, a_tokens, draws);
    if (border) return *border;
  }
  fail<DataError>(
      "{}: {} sentences in a row from number {} are whole documents of one token, of which no "
      "next-sentence pair can be made; train with mlm alone, or give the corpus longer sentences",
      dataset.name(), tries, anchor);
}

// A border in `document`, which is of the other sort than `own`, that looks as if it were of the
// same: else a cut A before a B that begins a sentence, or the reverse, would give the label away.
std::optional<Border> disguised_border(Dataset& dataset, const Dataset::Document& document,
                                       std::int64_t anchor, const Border& own,
                                       std::int64_t a_tokens, Draws& draws) {
  const Dataset::Document sentence_alone{
      .number = document.number, .first_sentence = anchor, .num_sentences = 1};
  if (own.is_cut) return cut_sentence(dataset, sentence_alone, a_tokens, draws);
  return Border{.a = {},
                .sentence = anchor,
                .skip = 0,
                .sentences_end = anchor + 1,
                .document = document.number,
                .is_cut = false,
                .truncated = false};
}

// The border of a random other anchor, drawn under the same limit.
std::optional<Border> other_border(Dataset& dataset, const Border& own, std::int64_t a_tokens,
                                   Draws& draws) {
  for (int attempt = 0; attempt < kOtherTries; ++attempt) {
    const std::int64_t anchor = draws.below(dataset.num_sentences());
    const Dataset::Document document = dataset.document_of(anchor);
    // A corpus of a single document has to make do with other sentences of it.
    if (document.number == own.document && dataset.num_documents() > 1) continue;
    const bool same_sort = (document.num_sentences == 1) == own.is_cut;
    if (!same_sort && attempt < kSameSortTries) continue;
    const auto border = same_sort
                            ? border_of(dataset, document, anchor, a_tokens, draws)
                            : disguised_border(dataset, document, anchor, own, a_tokens, draws);
    if (border && border->sentence != own.sentence) return border;
  }
  return std::nullopt;
}

// What follows the border, as far as it fits.
TextRange text_behind(Dataset& dataset, const Border& border, std::int64_t b_tokens,
                      bool& truncated) {
  TextRange range = whole_sentences(dataset, border.sentence,
                                    border.sentences_end - border.sentence, b_tokens + border.skip);
  range.skip = border.skip;
  range.num_tokens -= border.skip;
  if (range.num_tokens > b_tokens) {
    range.num_tokens = b_tokens;
    truncated = true;
  }
  return range;
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

LabelledPair draw_labelled_pair(Dataset& dataset, std::int64_t anchor, std::int64_t total_tokens,
                                Draws& draws) {
  const bool wants_other = draws.below(2) == 1;
  const std::int64_t third = total_tokens / 3;
  const std::int64_t a_tokens = third + draws.below(third + 1);
  const Border own = own_border(dataset, anchor, a_tokens, draws);
  std::optional<Border> other;
  if (wants_other) other = other_border(dataset, own, a_tokens, draws);
  LabelledPair pair{.a = own.a, .b = {}, .label = other ? 1 : 0, .truncated = own.truncated};
  // The limit of B depends on A alone, so that B is as long in both classes.
  pair.b =
      text_behind(dataset, other ? *other : own, total_tokens - own.a.num_tokens, pair.truncated);
  return pair;
}

}  // namespace polyphase
