// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "corpus/batch_stream.hpp"
#include "tests/corpus/corpus_fixture.hpp"

namespace polyphase {
namespace {

using Tokens = std::vector<std::int32_t>;

class SampleKindsTest : public CorpusTest {
 protected:
  static StreamSettings settings_of(const std::vector<SampleKind>& kinds) {
    StreamSettings settings;
    settings.sample = {.kinds = kinds, .max_tokens = 24, .seed = 11, .phase = 2};
    settings.sizes.sequences = 12;
    settings.micro_batch = 3;
    return settings;
  }
  std::shared_ptr<Dataset> counting_dataset() {
    return make(DatasetKind::kText, counting_documents(40, 4, nullptr));
  }
};

std::vector<SampleKind> kinds_of(const StepBatches& step) {
  std::vector<SampleKind> kinds;
  for (const Batch& batch : step.micro_batches)
    kinds.insert(kinds.end(), batch.kinds_B.begin(), batch.kinds_B.end());
  return kinds;
}

TEST_F(SampleKindsTest, KindsOfSamplesTakeTurns) {
  const auto dataset = counting_dataset();
  const StreamSettings settings =
      settings_of({SampleKind::kNextSentence, SampleKind::kSentenceOrder});
  StreamSettings later = settings;
  later.first_step = 2;
  BatchStream stream(dataset, settings), resumed(dataset, later);
  std::map<std::int64_t, std::set<SampleKind>> met;
  for (int step = 0; step < 60; ++step) {
    const StepBatches batches = stream.next_step();
    const std::vector<SampleKind> kinds = kinds_of(batches);
    ASSERT_EQ(kinds.size(), 12U);
    EXPECT_EQ(std::count(kinds.begin(), kinds.end(), SampleKind::kSentenceOrder), 6);
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      EXPECT_EQ(kinds[i], settings.sample.kinds[i % 2]);
      met[batches.samples[i].sample].insert(kinds[i]);
    }
    if (step == 2) {
      EXPECT_EQ(kinds_of(resumed.next_step()), kinds);
    }
  }
  // In one epoch or another nearly every sample meets both; seven epochs leave out 1 in 64.
  ASSERT_GE(60 * 12, 7 * stream.samples_per_epoch());
  std::int64_t met_both = 0;
  for (const auto& [sample, kinds] : met) met_both += kinds.size() == 2 ? 1 : 0;
  EXPECT_GE(met_both, stream.samples_per_epoch() * 9 / 10);
}

TEST_F(SampleKindsTest, CausalWindowsBesidePrefixesHaveNone) {
  BatchStream stream(counting_dataset(), settings_of({SampleKind::kCausal, SampleKind::kPrefix}));
  for (const Batch& batch : stream.next_step().micro_batches) {
    ASSERT_EQ(batch.kinds_B.size(), static_cast<std::size_t>(batch.num_sequences()));
    ASSERT_EQ(batch.prefixes_B.size(), batch.kinds_B.size());
    for (std::size_t b = 0; b < batch.kinds_B.size(); ++b) {
      const bool causal = batch.kinds_B[b] == SampleKind::kCausal;
      EXPECT_EQ(batch.prefixes_B[b] == 0, causal);
      const std::int32_t first = batch.starts[b] + (causal ? 0 : batch.prefixes_B[b] - 1);
      const auto& rows = batch.target_rows_M;
      EXPECT_EQ(std::count_if(rows.begin(), rows.end(),
                              [&](std::int32_t row) {
                                return row >= batch.starts[b] && row < batch.starts[b + 1];
                              }),
                batch.starts[b + 1] - first);
    }
  }
}

TEST_F(SampleKindsTest, EvaluationMakesEverySampleInEachKindOnAnyNumberOfRanks) {
  const auto dataset = counting_dataset();
  const std::vector<SampleKind> turns = {SampleKind::kNextSentence, SampleKind::kSentenceOrder};
  std::map<SampleKind, std::vector<Tokens>> made;
  for (const int num_ranks : {1, 3}) {
    std::map<std::int64_t, Batch> by_number;
    for (int rank = 0; rank < num_ranks; ++rank) {
      EvaluationStream stream(dataset, {.sample = {.kinds = turns, .max_tokens = 24},
                                        .micro_batch = 7,
                                        .data_rank = rank,
                                        .num_data_ranks = num_ranks});
      EXPECT_EQ(stream.num_samples(), dataset->num_samples());
      std::int64_t num_batches = 0;
      while (auto next = stream.next()) {
        ++num_batches;
        if (next->batch.num_sequences() > 0) by_number[next->number] = std::move(next->batch);
      }
      EXPECT_EQ(num_batches, stream.num_batches());
    }
    std::map<SampleKind, std::vector<Tokens>> of_layout;
    for (const auto& [number, batch] : by_number) {
      for (const SampleKind kind : batch.kinds_B)
        ASSERT_EQ(kind, turns[number < static_cast<std::int64_t>(by_number.size() / 2) ? 0 : 1]);
      of_layout[batch.kinds_B.front()].push_back(batch.tokens_N);
    }
    if (num_ranks > 1) {
      EXPECT_EQ(of_layout, made);
    }
    made = of_layout;
    std::int64_t num_sequences = 0;
    for (const auto& [number, batch] : by_number) num_sequences += batch.num_sequences();
    EXPECT_EQ(num_sequences, 2 * dataset->num_samples());
  }
  // Alone, a kind gives the same.
  for (const SampleKind kind : turns) {
    EvaluationStream alone(dataset,
                           {.sample = {.kinds = {kind}, .max_tokens = 24}, .micro_batch = 7});
    std::vector<Tokens> tokens;
    while (auto next = alone.next()) tokens.push_back(next->batch.tokens_N);
    EXPECT_EQ(tokens, made[kind]);
  }
}

}  // namespace
}  // namespace polyphase
