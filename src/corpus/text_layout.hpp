// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "corpus/sample.hpp"
#include "io/shard.hpp"

// Where the tokens of texts and the special ones between them stand in a sequence: the same in
// training and in use. Each function fills an empty sample; texts are the sentences of `text`.
namespace polyphase {

// One token behind the others.
void append_token(std::int32_t token, std::int32_t segment, Sample& sample);
// Tokens [first, first + count) of text.
void append_tokens(const ShardText& text, std::int64_t first, std::int64_t count,
                   std::int32_t segment, Sample& sample);

// The sample's segments, kMatch added where the other text of the pair shows the same token;
// special tokens match none.
std::vector<std::int32_t> segments_with_matches(const Sample& sample);

// Shortens the longer of two texts, then both, until they fit together.
void fit_pair(std::int64_t room, std::int64_t& first, std::int64_t& second);

// One text or two: [CLS] A [SEP] or [CLS] A [SEP] B [SEP].
void lay_out_texts(const ShardText& text, std::int64_t max_tokens, Sample& sample);

// Tokens [first, first + count) of words: [CLS] words [SEP].
void lay_out_words(const ShardText& text, std::int64_t first, std::int64_t count, Sample& sample);
inline std::int64_t room_for_words(std::int64_t max_tokens) { return max_tokens - 2; }

// A question and a part of its context: [CLS] question [SEP] context [SEP] (Devlin et al., 2019,
// section 4.2). Questions keep at most half of the room.
struct AnswerRoom {
  std::int64_t question = 0;  // tokens of it that are kept
  std::int64_t context = 0;   // tokens of it in all
  std::int64_t window = 0;    // tokens of the context that a sequence shows
};
AnswerRoom answer_room(const ShardText& text, std::int64_t max_tokens);
// The window begins at token `start` of the context.
void lay_out_question(const ShardText& text, const AnswerRoom& room, std::int64_t start,
                      Sample& sample);
// Place in the sequence of the window's first token.
inline std::int64_t window_place(const AnswerRoom& room) { return room.question + 2; }

}  // namespace polyphase
