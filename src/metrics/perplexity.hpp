// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace polyphase {

// What a language model's summed loss over a text says about it. sum_nats is the negative
// logarithm of the text's probability; counts are of the whole text and positive, else
// std::logic_error.

// exp(nats a token): depends on the tokenizer.
double perplexity(double sum_nats, std::int64_t num_tokens);

// exp(nats a word), whatever pieces the words were predicted in: comparable between tokenizers
// when the words are counted alike.
double word_perplexity(double sum_nats, std::int64_t num_words);

// Bits a byte of UTF-8: comparable between tokenizers.
double bits_per_byte(double sum_nats, std::int64_t num_bytes);

}  // namespace polyphase
