// SPDX-License-Identifier: Apache-2.0
#include "train/largest_batch.hpp"

#include <cmath>

#include "recipe/load.hpp"

namespace polyphase {
namespace {

// `sequences` sequences in num_rows rows, of which the longest is `length`.
void fill_rows(Rows& rows, std::int64_t num_rows, std::int64_t sequences, std::int64_t length) {
  const auto n = static_cast<std::size_t>(round_up(num_rows, kRowMultiple));
  rows.row_ids_N.resize(n);
  rows.max_tokens = length;
  for (std::int64_t b = 0; b <= sequences; ++b)
    rows.starts.push_back(static_cast<std::int32_t>(b * num_rows / sequences));
  // Every row its own token, position and segment: the most groups that rows can form.
  for (std::size_t row = 0; row < n; ++row) rows.tokens_N.push_back(static_cast<std::int32_t>(row));
  rows.positions_N = rows.segments_N = rows.tokens_N;
}

// Rows of a sample that predict a token.
std::int64_t targets_of(const recipe::Phase& phase, std::int64_t length) {
  if (phase.task) return phase.task->kind == recipe::TaskKind::kGeneration ? length : 0;
  const bool pairs = phase.objectives.contains("nsp") || phase.objectives.contains("sop");
  if (!phase.objectives.contains("mlm")) return pairs ? 0 : length;
  if (phase.whole_words) return length;  // one word may be as long as the sequence
  return static_cast<std::int64_t>(std::ceil(phase.mask_fraction * static_cast<double>(length))) +
         1;
}

}  // namespace

Batch largest_batch(const recipe::Recipe& recipe, const recipe::Phase& phase, std::int64_t samples,
                    std::int64_t num_labels) {
  const std::int64_t length = recipe::max_tokens_of(recipe, phase);
  const std::int64_t num_rows = samples * length;
  // A window over many documents may hold as many sequences as rows.
  const bool prefixes =
      phase.objectives.contains("prefix_lm") && !recipe::has_decoder(recipe.model, phase);
  const bool windows = phase.objectives.contains("clm") || prefixes;
  const std::int64_t sequences = windows ? num_rows : samples;
  Batch batch;
  fill_rows(batch, num_rows, sequences, length);
  if (recipe::has_decoder(recipe.model, phase)) fill_rows(batch.source, num_rows, samples, length);
  const std::int64_t targets = samples * targets_of(phase, length);
  batch.target_rows_M.assign(static_cast<std::size_t>(round_up(targets, kTargetRowMultiple)), 0);
  batch.target_labels_M = batch.target_rows_M;
  if (prefixes) batch.prefixes_B.assign(static_cast<std::size_t>(sequences), 1);
  batch.sequence_labels_B.assign(static_cast<std::size_t>(sequences), 0);
  if (!phase.task) return batch;
  batch.sequence_values_B.assign(static_cast<std::size_t>(sequences), 0.0F);
  batch.label_sets_BK.assign(static_cast<std::size_t>(sequences * num_labels), 0.0F);
  batch.answer_first_B = batch.answer_last_B = batch.sequence_labels_B;
  if (phase.task->kind == recipe::TaskKind::kTagging)
    batch.token_labels_N.assign(batch.tokens_N.size(), 0);
  return batch;
}

}  // namespace polyphase
