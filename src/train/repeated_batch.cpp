// SPDX-License-Identifier: Apache-2.0
#include "train/repeated_batch.hpp"

namespace polyphase {
namespace {

constexpr std::uint64_t kCopy = std::uint64_t{1} << 63;  // of a row id

template <class T>
std::vector<T> twice(const std::vector<T>& values) {
  std::vector<T> both = values;
  both.insert(both.end(), values.begin(), values.end());
  return both;
}

// `count` values and the same again, each of them with `shift` added; what lies behind them, which
// only rounds their number up, is made anew.
template <class T>
std::vector<T> twice(const std::vector<T>& values, std::int64_t count, T shift,
                     std::int64_t multiple, T filling) {
  std::vector<T> both(values.begin(), values.begin() + count);
  for (std::int64_t i = 0; i < count; ++i) both.push_back(values[i] + shift);
  both.resize(static_cast<std::size_t>(round_up(2 * count, multiple)), filling);
  return both;
}

void repeat_rows(Rows& rows) {
  const std::int64_t count = rows.num_tokens();
  const auto end = static_cast<std::int32_t>(count);
  rows.tokens_N = twice(rows.tokens_N, count, 0, kRowMultiple, 0);
  rows.positions_N = twice(rows.positions_N, count, 0, kRowMultiple, 0);
  rows.segments_N = twice(rows.segments_N, count, 0, kRowMultiple, 0);
  rows.row_ids_N = twice(rows.row_ids_N, count, kCopy, kRowMultiple, std::uint64_t{0});
  const std::vector<std::int32_t> starts = rows.starts;
  for (std::size_t b = 1; b < starts.size(); ++b) rows.starts.push_back(starts[b] + end);
}

}  // namespace

Batch repeated(const Batch& batch) {
  Batch both = batch;
  repeat_rows(both);
  if (!both.source.starts.empty()) repeat_rows(both.source);
  auto targets = static_cast<std::int64_t>(batch.target_rows_M.size());
  while (targets > 0 && batch.target_rows_M[targets - 1] < 0) --targets;
  const auto shift = static_cast<std::int32_t>(batch.num_tokens());
  both.target_rows_M = twice(batch.target_rows_M, targets, shift, kTargetRowMultiple, -1);
  both.target_labels_M = twice(batch.target_labels_M, targets, 0, kTargetRowMultiple, -1);
  both.kinds_B = twice(batch.kinds_B);
  both.prefixes_B = twice(batch.prefixes_B);
  both.sequence_labels_B = twice(batch.sequence_labels_B);
  both.sequence_values_B = twice(batch.sequence_values_B);
  both.label_sets_BK = twice(batch.label_sets_BK);
  both.answer_first_B = twice(batch.answer_first_B);
  both.answer_last_B = twice(batch.answer_last_B);
  for (std::size_t b = batch.answer_first_B.size(); b < both.answer_first_B.size(); ++b) {
    both.answer_first_B[b] += shift;
    both.answer_last_B[b] += shift;
  }
  if (!batch.token_labels_N.empty())
    both.token_labels_N = twice(batch.token_labels_N, batch.num_tokens(), 0, kRowMultiple, -1);
  return both;
}

}  // namespace polyphase
