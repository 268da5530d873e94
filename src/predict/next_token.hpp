// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "corpus/draws.hpp"
#include "predict/generate.hpp"

namespace polyphase {

// Log-probabilities of a softmax over the tokens that may be generated: of the tokenizer's pieces
// all but padding, [CLS] and [MASK]; the others get minus infinity.
std::vector<double> log_probabilities(std::span<const float> logits_V, std::int64_t num_pieces);

// The likeliest token.
std::int32_t likeliest(const std::vector<double>& log_probabilities_V);

// A token drawn as the settings say; temperature above 0.
std::int32_t sample(const std::vector<double>& log_probabilities_V,
                    const GenerationSettings& settings, Draws& draws);

// The `count` likeliest tokens, the likeliest first; of equals the lower id.
std::vector<std::int32_t> likeliest(const std::vector<double>& log_probabilities_V,
                                    std::int64_t count);

}  // namespace polyphase
