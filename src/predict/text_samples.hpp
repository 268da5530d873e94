// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "corpus/sample.hpp"
#include "predict/sample_input.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {

// A sample as its model reads it.
struct EncodedInput {
  // One sequence; several for a sentence or a context that is longer than max_tokens; none where
  // there is no text.
  std::vector<Sample> sequences;
  bool too_long = false;  // texts and questions: cut; sentences: in several sequences
  // Question answering: the bytes of the context that each of its tokens stands for; of every
  // sequence, the token that its window begins with; and the window's place in the sequence.
  std::vector<text::EncodedText::Bytes> bytes;
  std::vector<std::int64_t> window_starts;
  std::int64_t window_place = 0;
};

// Lays a sample out as samples of its kind are in training (corpus/text_layout.hpp), without
// labels. A sentence that is too long is cut between words, and each piece stands by itself; a long
// context is shown in windows, each half of one further on than the one before.
EncodedInput encode_input(const InputSample& input, const text::Tokenizer& tokenizer,
                          const SampleSettings& settings);

}  // namespace polyphase
