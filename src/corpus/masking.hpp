// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "corpus/draws.hpp"

namespace polyphase {

struct Targets {
  std::vector<std::int32_t> positions;  // ascending
  std::vector<std::int32_t> labels;     // the true tokens there
};

// Draws BERT's masks into `tokens` (Devlin et al., 2019, section 3.1). Of the tokens that are not
// special, a share of `mask_fraction` is chosen (rounded up or down by chance, so that the
// expectation is exact; at least one where there is any); of these 80 % become [MASK], 10 % a token
// drawn evenly from the vocabulary less the special ones, 10 % stay.
void draw_masks(std::vector<std::int32_t>& tokens, double mask_fraction, std::int64_t vocab_size,
                Draws& draws, Targets& masked);

}  // namespace polyphase
