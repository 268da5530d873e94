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

// Neighbouring tokens that are masked together: [begin, end).
struct Unit {
  std::int32_t begin, end;
};

std::vector<Unit> units_of(const std::vector<std::int32_t>& tokens,
                           const std::vector<bool>* begins_word) {
  std::vector<Unit> units;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < text::kNumSpecialIds) continue;
    const auto place = static_cast<std::int32_t>(i);
    const bool goes_on = begins_word != nullptr && !units.empty() && units.back().end == place &&
                         !begins_word->at(tokens[i]);
    if (goes_on) {
      ++units.back().end;
    } else {
      units.push_back({place, place + 1});
    }
  }
  return units;
}

}  // namespace

void draw_masks(std::vector<std::int32_t>& tokens, const Masking& masking, Draws& draws,
                Targets& targets) {
  targets.positions.clear();
  targets.labels.clear();
  std::vector<Unit> units = units_of(tokens, masking.begins_word);
  std::int64_t num_candidates = 0;
  for (const Unit& unit : units) num_candidates += unit.end - unit.begin;
  if (num_candidates == 0) return;
  const auto wanted = std::clamp<std::int64_t>(
      static_cast<std::int64_t>(masking.fraction * static_cast<double>(num_candidates) +
                                draws.fraction()),
      1, num_candidates);
  const auto num_units = static_cast<std::int64_t>(units.size());
  std::int64_t chosen = 0;
  for (std::int64_t i = 0; i < num_units && chosen < wanted; ++i) {  // a shuffle's first steps
    std::swap(units[i], units[i + draws.below(num_units - i)]);
    const std::int64_t length = units[i].end - units[i].begin;
    if (chosen > 0 && chosen + length > wanted) continue;
    for (std::int32_t place = units[i].begin; place < units[i].end; ++place)
      targets.positions.push_back(place);
    chosen += length;
  }
  std::sort(targets.positions.begin(), targets.positions.end());
  for (const std::int32_t position : targets.positions) {
    targets.labels.push_back(tokens[position]);
    tokens[position] = disguise(tokens[position], masking.vocab_size, draws);
  }
}

}  // namespace polyphase
