// SPDX-License-Identifier: Apache-2.0
#include "train/repeated_batch.hpp"

#include <gtest/gtest.h>

namespace polyphase {
namespace {

// Sequences of 3 and 2 tokens, of which rows 1 and 4 predict something.
Batch batch_of_two() {
  Batch batch;
  batch.starts = {0, 3, 5};
  batch.max_tokens = 3;
  for (std::int32_t n = 0; n < kRowMultiple; ++n) {
    batch.tokens_N.push_back(n < 5 ? 10 + n : 0);
    batch.positions_N.push_back(n < 5 ? n % 3 : 0);
    batch.segments_N.push_back(0);
    batch.row_ids_N.push_back(n < 5 ? 70 + n : 0);
  }
  batch.target_rows_M = {1, 4};
  batch.target_labels_M = {21, 24};
  batch.target_rows_M.resize(kTargetRowMultiple, -1);
  batch.target_labels_M.resize(kTargetRowMultiple, -1);
  batch.kinds_B = {SampleKind::kCausal, SampleKind::kPrefix};
  batch.sequence_labels_B = {1, 0};
  batch.token_labels_N = {-1, 2, 3, 4, -1};
  batch.token_labels_N.resize(kRowMultiple, -1);
  return batch;
}

TEST(RepeatedBatch, EverySequenceComesTwiceWithItsLabels) {
  const Batch both = repeated(batch_of_two());
  EXPECT_EQ(both.starts, (std::vector<std::int32_t>{0, 3, 5, 8, 10}));
  EXPECT_EQ(both.tokens_N.size(), kRowMultiple);
  for (std::int32_t n = 0; n < 5; ++n) {
    EXPECT_EQ(both.tokens_N[5 + n], 10 + n);
    EXPECT_EQ(both.positions_N[5 + n], both.positions_N[n]);
    EXPECT_EQ(both.token_labels_N[5 + n], both.token_labels_N[n]);
  }
  EXPECT_EQ(both.tokens_N[10], 0);
  EXPECT_EQ(both.token_labels_N[10], -1);
  EXPECT_EQ(std::vector<std::int32_t>(both.target_rows_M.begin(), both.target_rows_M.begin() + 5),
            (std::vector<std::int32_t>{1, 4, 6, 9, -1}));
  EXPECT_EQ(
      std::vector<std::int32_t>(both.target_labels_M.begin(), both.target_labels_M.begin() + 5),
      (std::vector<std::int32_t>{21, 24, 21, 24, -1}));
  EXPECT_EQ(both.target_rows_M.size(), kTargetRowMultiple);
  EXPECT_EQ(both.kinds_B, (std::vector<SampleKind>{SampleKind::kCausal, SampleKind::kPrefix,
                                                   SampleKind::kCausal, SampleKind::kPrefix}));
  EXPECT_EQ(both.sequence_labels_B, (std::vector<std::int32_t>{1, 0, 1, 0}));
}

TEST(RepeatedBatch, CopiesDrawOtherMasks) {
  const Batch batch = batch_of_two(), both = repeated(batch);
  for (std::int32_t n = 0; n < 5; ++n) {
    EXPECT_EQ(both.row_ids_N[n], batch.row_ids_N[n]);
    EXPECT_EQ(both.row_ids_N[5 + n], batch.row_ids_N[n] | (std::uint64_t{1} << 63));
  }
  EXPECT_EQ(both.row_ids_N[10], 0U);
}

}  // namespace
}  // namespace polyphase
