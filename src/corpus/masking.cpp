// SPDX-License-Identifier: Apache-2.0
#include "corpus/masking.hpp"

#include <algorithm>
#include <utility>

#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

constexpr double kShareOfMasks = 0.8;
constexpr double kShareOfRandomTokens = 0.1;

std::int32_t disguise(std::int32_t token, std::int64_t vocab_size, Draws& draws) {
  const double chance = draws.fraction();
  if (chance < kShareOfMasks) return text::kMaskId;
  if (chance >= kShareOfMasks + kShareOfRandomTokens) return token;
  return text::kNumSpecialIds +
         static_cast<std::int32_t>(draws.below(vocab_size - text::kNumSpecialIds));
}

}  // namespace

void draw_masks(std::vector<std::int32_t>& tokens, double mask_fraction, std::int64_t vocab_size,
                Draws& draws, Targets& masked) {
  masked.positions.clear();
  masked.labels.clear();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= text::kNumSpecialIds) masked.positions.push_back(static_cast<std::int32_t>(i));
  }
  const auto num_candidates = static_cast<std::int64_t>(masked.positions.size());
  if (num_candidates == 0) return;
  const auto wanted = static_cast<std::int64_t>(
      mask_fraction * static_cast<double>(num_candidates) + draws.fraction());
  const std::int64_t num_masked = std::clamp<std::int64_t>(wanted, 1, num_candidates);
  for (std::int64_t i = 0; i < num_masked; ++i) {  // the first steps of a shuffle
    std::swap(masked.positions[i], masked.positions[i + draws.below(num_candidates - i)]);
  }
  masked.positions.resize(num_masked);
  std::sort(masked.positions.begin(), masked.positions.end());
  for (const std::int32_t position : masked.positions) {
    masked.labels.push_back(tokens[position]);
    tokens[position] = disguise(tokens[position], vocab_size, draws);
  }
}

}  // namespace polyphase
