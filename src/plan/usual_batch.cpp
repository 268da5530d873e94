// SPDX-License-Identifier: Apache-2.0
#include "plan/usual_batch.hpp"

#include <cmath>

#include "corpus/span_corruption.hpp"
#include "recipe/load.hpp"
#include "train/largest_batch.hpp"
#include "train/phase_data.hpp"
#include "train/planned_model.hpp"

namespace polyphase {
namespace {

// One sequence a sample.
void make_sequences(Rows& rows, std::int64_t samples, std::int64_t length) {
  const auto n = static_cast<std::size_t>(round_up(samples * length, kRowMultiple));
  rows.tokens_N.resize(n);
  rows.positions_N.resize(n);
  rows.segments_N.resize(n);
  rows.row_ids_N.resize(n);
  rows.max_tokens = length;
  rows.starts.clear();
  for (std::int64_t b = 0; b <= samples; ++b)
    rows.starts.push_back(static_cast<std::int32_t>(b * length));
}

// Tokens that the encoder and the decoder read of a text (corpus/generation_samples.cpp).
struct TextInTwo {
  std::int64_t source = 0, target = 0;
};

TextInTwo text_in_two(const recipe::Phase& phase, SampleKind kind, std::int64_t max_tokens) {
  const std::int64_t text = max_tokens - 2;
  if (kind == SampleKind::kSpans) {
    const auto [taken, spans] =
        count_spans(text, {.fraction = phase.mask_fraction,
                           .span_tokens = phase.span_tokens,
                           .num_sentinels = static_cast<std::int32_t>(recipe::kNumSentinels)});
    return {.source = text - taken + spans + 1, .target = taken + spans + 1};
  }
  // Any place but the end may be the border.
  if (kind == SampleKind::kPrefix) return {.source = text / 2 + 1, .target = (text + 1) / 2 + 1};
  return {.source = max_tokens, .target = max_tokens};
}

// The mean over the kinds that take turns.
TextInTwo usual_text_in_two(const recipe::Phase& phase, std::int64_t max_tokens) {
  const std::vector<SampleKind> kinds = sample_kinds_of(phase);
  TextInTwo sum;
  for (const SampleKind kind : kinds) {
    const TextInTwo one = text_in_two(phase, kind, max_tokens);
    sum.source += one.source;
    sum.target += one.target;
  }
  const auto count = static_cast<std::int64_t>(kinds.size());
  return {.source = sum.source / count, .target = sum.target / count};
}

void resize_targets(Batch& batch, std::int64_t count) {
  batch.target_rows_M.resize(static_cast<std::size_t>(round_up(count, kTargetRowMultiple)));
  batch.target_labels_M = batch.target_rows_M;
}

}  // namespace

Batch usual_batch(const recipe::Recipe& recipe, const recipe::Phase& phase, std::int64_t samples) {
  Batch batch = largest_batch(recipe, phase, samples, kAssumedLabels);
  const std::int64_t length = recipe::max_tokens_of(recipe, phase);
  const auto count = static_cast<std::size_t>(samples);
  make_sequences(batch, samples, length);
  if (recipe::has_decoder(recipe.model, phase)) {
    const TextInTwo text = usual_text_in_two(phase, length);
    make_sequences(batch.source, samples, text.source);
    make_sequences(batch, samples, text.target);
    resize_targets(batch, samples * text.target);
  }
  batch.sequence_labels_B.resize(count);
  const std::vector<SampleKind> kinds = sample_kinds_of(phase);
  for (std::size_t b = 0; kinds.size() > 1 && b < count; ++b)
    batch.kinds_B.push_back(kinds[b % kinds.size()]);
  if (!batch.prefixes_B.empty()) {
    batch.prefixes_B.assign(count, static_cast<std::int32_t>(length / 2));
  }
  if (phase.objectives.contains("mlm")) {
    resize_targets(batch, static_cast<std::int64_t>(std::ceil(
                              phase.mask_fraction * static_cast<double>(samples * length))));
  }
  return batch;
}

}  // namespace polyphase
