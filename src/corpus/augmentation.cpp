// SPDX-License-Identifier: Apache-2.0
#include "corpus/augmentation.hpp"

#include <utility>

#include "base/error.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kLongestSpan = 3;  // words; all lengths from 1 on are equally likely

// The chance that a span begins at a word, so that `share` of all words lie in spans: of the words
// passed at such a choice, mean · chance lie in a span and 1 - chance do not.
double chance_of_span(double share) {
  const double mean = (1.0 + static_cast<double>(kLongestSpan)) / 2.0;
  return share / (mean * (1.0 - share) + share);
}

}  // namespace

void Augmenter::change(ShardText& text, std::int64_t num_texts, TextLabels labels, Draws& draws) {
  const ShardText before = std::exchange(text, {});
  text.value = before.value;
  text.labels = before.labels;
  text.sentence_starts.push_back(0);
  const auto all = static_cast<std::int64_t>(before.sentence_starts.size()) - 1;
  for (std::int64_t i = 0; i < all; ++i) {
    split(before, before.sentence_starts[i], before.sentence_starts[i + 1], labels);
    if (i < num_texts) {
      if (settings_.synonyms > 0) replace_by_synonyms(draws);
      if (settings_.swap > 0) swap_neighbours(draws);
      if (settings_.remove > 0) remove_words(draws);
      if (settings_.span > 0) mask_spans(draws);
      if (settings_.mask > 0) mask_words(draws);
    }
    append_words(before, labels, text);
    text.sentence_starts.push_back(static_cast<std::int64_t>(text.tokens.size()));
  }
}

// Fills words_ with tokens [begin, end) of the text.
void Augmenter::split(const ShardText& text, std::int64_t begin, std::int64_t end,
                      TextLabels labels) {
  const bool answered = labels == TextLabels::kPlaces && text.labels.size() == 2;
  words_.clear();
  for (std::int64_t place = begin; place < end; ++place) {
    const std::int32_t id = text.tokens[place];
    if (place == begin || settings_.begins_word->at(static_cast<std::size_t>(id)))
      words_.emplace_back();
    words_.back().pieces.push_back({.id = id, .place = place});
    if (answered && place >= text.labels[0] && place <= text.labels[1]) words_.back().fixed = true;
  }
}

void Augmenter::replace_by_synonyms(Draws& draws) {
  std::vector<std::int32_t> ids;
  for (Word& word : words_) {
    if (word.fixed) continue;
    ids.clear();
    for (const Piece& piece : word.pieces) ids.push_back(piece.id);
    const SynonymTable::Synonyms* synonyms = settings_.table->find(ids);
    if (synonyms == nullptr || draws.fraction() >= settings_.synonyms) continue;
    const auto number = draws.below(static_cast<std::int64_t>(synonyms->size()));
    const std::int64_t first_place = word.pieces.front().place;
    word.pieces.clear();
    for (const std::int32_t id : (*synonyms)[static_cast<std::size_t>(number)])
      word.pieces.push_back({.id = id, .place = word.pieces.empty() ? first_place : -1});
  }
}

void Augmenter::swap_neighbours(Draws& draws) {
  for (std::size_t i = 0; i + 1 < words_.size(); ++i) {
    if (draws.fraction() >= settings_.swap || words_[i].fixed || words_[i + 1].fixed) continue;
    std::swap(words_[i], words_[i + 1]);
    ++i;
  }
}

void Augmenter::remove_words(Draws& draws) {
  std::vector<Word> kept;
  for (const Word& word : words_) {
    if (draws.fraction() >= settings_.remove || word.fixed) kept.push_back(word);
  }
  if (kept.empty() && !words_.empty()) {
    const auto number = draws.below(static_cast<std::int64_t>(words_.size()));
    kept.push_back(words_[static_cast<std::size_t>(number)]);
  }
  words_ = std::move(kept);
}

void Augmenter::mask_spans(Draws& draws) {
  const double chance = chance_of_span(settings_.span);
  std::vector<Word> result;
  for (std::size_t i = 0; i < words_.size();) {
    if (words_[i].fixed || draws.fraction() >= chance) {
      result.push_back(std::move(words_[i++]));
      continue;
    }
    const std::size_t end = i + 1 + static_cast<std::size_t>(draws.below(kLongestSpan));
    while (i < end && i < words_.size() && !words_[i].fixed) ++i;
    result.push_back({.pieces = {{.id = text::kMaskId, .place = -1}}});
  }
  words_ = std::move(result);
}

void Augmenter::mask_words(Draws& draws) {
  for (Word& word : words_) {
    if (draws.fraction() >= settings_.mask || word.fixed) continue;
    for (Piece& piece : word.pieces) piece.id = text::kMaskId;
  }
}

void Augmenter::append_words(const ShardText& from, TextLabels labels, ShardText& to) const {
  for (const Word& word : words_) {
    for (const Piece& piece : word.pieces) {
      for (std::size_t i = 0; labels == TextLabels::kPlaces && i < from.labels.size(); ++i) {
        if (piece.place == from.labels[i])
          to.labels[i] = static_cast<std::int32_t>(to.tokens.size());
      }
      to.tokens.push_back(piece.id);
      if (!from.token_labels.empty())
        to.token_labels.push_back(piece.place < 0 ? -1 : from.token_labels[piece.place]);
    }
  }
}

}  // namespace polyphase
