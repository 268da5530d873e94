// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "corpus/draws.hpp"

namespace polyphase {

struct SpanCorruption {
  double fraction = 0.15;    // of the tokens that are taken out
  double span_tokens = 3.0;  // mean length of a span that is taken out
  std::int32_t first_sentinel = 0, num_sentinels = 100;
};

// Of so many tokens: how many are taken out, in how many spans.
struct SpanCounts {
  std::int64_t taken = 0, spans = 0;
};
SpanCounts count_spans(std::int64_t num_tokens, const SpanCorruption& settings);

// Cuts `tokens` into kept and taken stretches in turn, a kept one first, of random lengths that add
// up to the wanted fraction (Raffel et al., 2020, section 3.1.4). `source` gets the kept ones with
// a sentinel for each taken one; `target` gets each sentinel with what it stands for. At least one
// token is taken; of a single token all.
void corrupt_spans(const std::vector<std::int32_t>& tokens, const SpanCorruption& settings,
                   Draws& draws, std::vector<std::int32_t>& source,
                   std::vector<std::int32_t>& target);

}  // namespace polyphase
