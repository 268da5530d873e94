// SPDX-License-Identifier: Apache-2.0
#include "predict/text_samples.hpp"

#include <algorithm>

#include "corpus/text_layout.hpp"

namespace polyphase {
namespace {

void append_text(const std::vector<std::int32_t>& ids, ShardText& text) {
  text.tokens.insert(text.tokens.end(), ids.begin(), ids.end());
  text.sentence_starts.push_back(static_cast<std::int64_t>(text.tokens.size()));
}

void add_sequence(Sample sample, EncodedInput& encoded) {
  sample.ends = {static_cast<std::int32_t>(sample.tokens.size())};
  encoded.sequences.push_back(std::move(sample));
}

EncodedInput encode_texts(const InputSample& input, const text::Tokenizer& tokenizer,
                          std::int64_t max_tokens) {
  ShardText text = {.sentence_starts = {0}};
  EncodedInput encoded;
  for (const std::string& each : input.texts) append_text(tokenizer.encode(each), text);
  if (text.tokens.empty()) return encoded;
  Sample sample;
  lay_out_texts(text, max_tokens, sample);
  encoded.too_long = sample.truncated;
  add_sequence(std::move(sample), encoded);
  return encoded;
}

EncodedInput encode_sentence(const InputSample& input, const text::Tokenizer& tokenizer,
                             std::int64_t max_tokens) {
  const text::EncodedWords words = tokenizer.encode_words(input.texts);
  const ShardText text = {.tokens = words.ids};
  const std::int64_t room = room_for_words(max_tokens);
  const auto num_words = words.first_pieces.size();
  const auto begin_of = [&](std::size_t word) {
    return static_cast<std::int64_t>(word < num_words ? words.first_pieces[word]
                                                      : words.ids.size());
  };
  EncodedInput encoded;
  for (std::size_t word = 0, end = 0; word < num_words; word = end) {
    const std::int64_t first = begin_of(word);
    for (end = word + 1; end < num_words && begin_of(end + 1) - first <= room;) ++end;
    Sample sample;
    lay_out_words(text, first, std::min(room, begin_of(end) - first), sample);
    sample.token_labels.assign(sample.tokens.size(), -1);
    for (std::size_t w = word; w < end; ++w) sample.token_labels[begin_of(w) - first + 1] = 0;
    encoded.too_long = encoded.too_long || end < num_words || begin_of(end) - first > room;
    add_sequence(std::move(sample), encoded);
  }
  return encoded;
}

EncodedInput encode_question(const InputSample& input, const text::Tokenizer& tokenizer,
                             std::int64_t max_tokens) {
  ShardText text = {.sentence_starts = {0}};
  EncodedInput encoded;
  append_text(tokenizer.encode(input.texts.at(0)), text);
  text::EncodedText context = tokenizer.encode_with_places(input.texts.at(1));
  if (context.ids.empty()) return encoded;
  append_text(context.ids, text);
  const AnswerRoom room = answer_room(text, max_tokens);
  encoded.bytes = std::move(context.bytes);
  encoded.window_place = window_place(room);
  encoded.too_long = room.question < text.sentence_starts[1];
  const std::int64_t last = room.context - room.window;
  const std::int64_t stride = std::max<std::int64_t>(1, room.window / 2);
  for (std::int64_t start = 0;; start = std::min(start + stride, last)) {
    Sample sample;
    lay_out_question(text, room, start, sample);
    add_sequence(std::move(sample), encoded);
    encoded.window_starts.push_back(start);
    if (start == last) return encoded;
  }
}

}  // namespace

EncodedInput encode_input(const InputSample& input, const text::Tokenizer& tokenizer,
                          const SampleSettings& settings) {
  if (input.texts.empty()) return {};
  switch (settings.kinds.front()) {
    case SampleKind::kTagging:
      return encode_sentence(input, tokenizer, settings.max_tokens);
    case SampleKind::kQuestionAnswering:
      return encode_question(input, tokenizer, settings.max_tokens);
    default:
      return encode_texts(input, tokenizer, settings.max_tokens);
  }
}

}  // namespace polyphase
