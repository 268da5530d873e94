// SPDX-License-Identifier: Apache-2.0
#include "corpus/span_corruption.hpp"

#include <algorithm>
#include <cmath>

namespace polyphase {
namespace {

// `total` in `parts` summands of at least one, every way equally likely: `parts - 1` of the borders
// between units are chosen.
std::vector<std::int64_t> random_parts(std::int64_t total, std::int64_t parts, Draws& draws) {
  std::vector<std::int64_t> lengths(1, 0);
  std::int64_t open = parts - 1;
  for (std::int64_t unit = 0; unit < total; ++unit) {
    // Of the borders before units `unit` … total - 1, `open` are still to be chosen.
    if (unit > 0 && draws.below(total - unit) < open) {
      lengths.push_back(0);
      --open;
    }
    ++lengths.back();
  }
  return lengths;
}

}  // namespace

SpanCounts count_spans(std::int64_t num_tokens, const SpanCorruption& settings) {
  if (num_tokens == 0) return {};
  const std::int64_t most = std::max<std::int64_t>(1, num_tokens - 1);
  const std::int64_t taken = std::clamp<std::int64_t>(
      std::llround(settings.fraction * static_cast<double>(num_tokens)), 1, most);
  const std::int64_t most_spans = std::max<std::int64_t>(
      1, std::min({taken, num_tokens - taken, static_cast<std::int64_t>(settings.num_sentinels)}));
  return {.taken = taken,
          .spans = std::clamp<std::int64_t>(
              std::llround(static_cast<double>(taken) / settings.span_tokens), 1, most_spans)};
}

void corrupt_spans(const std::vector<std::int32_t>& tokens, const SpanCorruption& settings,
                   Draws& draws, std::vector<std::int32_t>& source,
                   std::vector<std::int32_t>& target) {
  const auto size = static_cast<std::int64_t>(tokens.size());
  if (size == 0) return;
  const auto [taken, spans] = count_spans(size, settings);
  const std::vector<std::int64_t> taken_lengths = random_parts(taken, spans, draws);
  const std::vector<std::int64_t> kept_lengths = random_parts(size - taken, spans, draws);
  auto next = tokens.begin();
  for (std::int64_t span = 0; span < spans; ++span) {
    const std::int32_t sentinel = settings.first_sentinel + static_cast<std::int32_t>(span);
    source.insert(source.end(), next, next + kept_lengths[span]);
    next += kept_lengths[span];
    source.push_back(sentinel);
    target.push_back(sentinel);
    target.insert(target.end(), next, next + taken_lengths[span]);
    next += taken_lengths[span];
  }
}

}  // namespace polyphase
