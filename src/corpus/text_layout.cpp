// SPDX-License-Identifier: Apache-2.0
#include "corpus/text_layout.hpp"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "corpus/batch.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {

void append_token(std::int32_t token, std::int32_t segment, Sample& sample) {
  sample.tokens.push_back(token);
  sample.segments.push_back(segment);
}

void append_tokens(const ShardText& text, std::int64_t first, std::int64_t count,
                   std::int32_t segment, Sample& sample) {
  const auto begin = text.tokens.begin() + first;
  sample.tokens.insert(sample.tokens.end(), begin, begin + count);
  sample.segments.insert(sample.segments.end(), count, segment);
}

std::vector<std::int32_t> segments_with_matches(const Sample& sample) {
  std::array<std::unordered_set<std::int32_t>, 2> texts;
  for (std::size_t i = 0; i < sample.tokens.size(); ++i)
    texts[sample.segments[i]].insert(sample.tokens[i]);
  std::vector<std::int32_t> segments = sample.segments;
  for (std::size_t i = 0; i < sample.tokens.size(); ++i) {
    const std::int32_t token = sample.tokens[i];
    if (token >= text::kNumSpecialIds && texts[1 - segments[i]].contains(token))
      segments[i] += kMatch;
  }
  return segments;
}

void fit_pair(std::int64_t room, std::int64_t& first, std::int64_t& second) {
  const std::int64_t half = room / 2;
  if (first + second <= room) return;
  if (second <= half) {
    first = room - second;
  } else if (first <= room - half) {
    second = room - first;
  } else {
    first = room - half;
    second = half;
  }
}

void lay_out_texts(const ShardText& text, std::int64_t max_tokens, Sample& sample) {
  const auto num_texts = static_cast<std::int64_t>(text.sentence_starts.size()) - 1;
  const std::int64_t border = text.sentence_starts[1];
  const auto end = static_cast<std::int64_t>(text.tokens.size());
  std::int64_t first = border, second = end - border;
  fit_pair(max_tokens - 1 - num_texts, first, second);
  append_token(text::kClsId, 0, sample);
  append_tokens(text, 0, first, 0, sample);
  append_token(text::kSepId, 0, sample);
  if (num_texts == 2) {
    append_tokens(text, border, second, 1, sample);
    append_token(text::kSepId, 1, sample);
  }
  sample.truncated = first + second < end;
}

void lay_out_words(const ShardText& text, std::int64_t first, std::int64_t count, Sample& sample) {
  append_token(text::kClsId, 0, sample);
  append_tokens(text, first, count, 0, sample);
  append_token(text::kSepId, 0, sample);
}

AnswerRoom answer_room(const ShardText& text, std::int64_t max_tokens) {
  const std::int64_t border = text.sentence_starts[1];
  const std::int64_t room = max_tokens - 3;
  AnswerRoom result = {.question = std::min(border, room / 2),
                       .context = static_cast<std::int64_t>(text.tokens.size()) - border};
  result.window = std::min(result.context, room - result.question);
  return result;
}

void lay_out_question(const ShardText& text, const AnswerRoom& room, std::int64_t start,
                      Sample& sample) {
  const std::int64_t border = text.sentence_starts[1];
  append_token(text::kClsId, 0, sample);
  append_tokens(text, 0, room.question, 0, sample);
  append_token(text::kSepId, 0, sample);
  append_tokens(text, border + start, room.window, 1, sample);
  append_token(text::kSepId, 1, sample);
  sample.truncated = room.question < border || room.window < room.context;
}

}  // namespace polyphase
