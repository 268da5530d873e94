// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace polyphase {

// One micro-batch, in host memory: B sequences laid one behind the other, N rows. There is no
// padding between sequences; behind the last one a few rows (token 0, row id 0) round N up, so that
// products see few different shapes.
struct Batch {
  std::vector<std::int32_t> tokens_N;     // vocabulary ids, masks already drawn
  std::vector<std::int32_t> positions_N;  // in the sequence
  std::vector<std::int32_t> segments_N;   // 0: first text, 1: second text of a pair
  std::vector<std::uint64_t> row_ids_N;   // (global sample << 16) | position: keys dropout
  std::vector<std::int32_t> starts;       // B + 1: sequence b is rows [starts[b], starts[b+1])
  std::int64_t max_tokens = 0;            // of the longest sequence

  // Masked language model: M rows to predict and their true tokens; padded by (-1, -1) to round M
  // up.
  std::vector<std::int32_t> masked_rows_M, masked_labels_M;
  // Next-sentence prediction (0: the next one, 1: another) or the class of a sequence; empty when
  // there is none.
  std::vector<std::int32_t> sequence_labels_B;
  std::vector<float> sequence_values_B;  // regression
  std::vector<float> label_sets_BK;      // several labels a sequence: 1 where it carries label k
  // Tag of a token, -1 on rows that carry none; empty when there is none.
  std::vector<std::int32_t> token_labels_N;

  std::int64_t num_sequences() const { return static_cast<std::int64_t>(starts.size()) - 1; }
  std::int64_t num_tokens() const { return starts.empty() ? 0 : starts.back(); }  // real ones
};

// Rows are rounded up to multiples of these.
inline constexpr std::int64_t kRowMultiple = 32;
inline constexpr std::int64_t kMaskedRowMultiple = 16;

}  // namespace polyphase
