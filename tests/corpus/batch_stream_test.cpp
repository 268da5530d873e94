// SPDX-License-Identifier: Apache-2.0
#include "corpus/batch_stream.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/error.hpp"
#include "tests/corpus/corpus_fixture.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

using Tokens = std::vector<std::int32_t>;

bool operator==(const Batch& x, const Batch& y) {
  return x.tokens_N == y.tokens_N && x.positions_N == y.positions_N &&
         x.segments_N == y.segments_N && x.row_ids_N == y.row_ids_N && x.starts == y.starts &&
         x.max_tokens == y.max_tokens && x.target_rows_M == y.target_rows_M &&
         x.target_labels_M == y.target_labels_M && x.kinds_B == y.kinds_B &&
         x.sequence_labels_B == y.sequence_labels_B && x.token_labels_N == y.token_labels_N;
}

class BatchStreamTest : public CorpusTest {
 protected:
  static StreamSettings settings_of(int rank, int num_ranks, std::int64_t first_step = 0) {
    StreamSettings settings;
    settings.sample = {
        .kinds = {SampleKind::kNextSentence}, .max_tokens = 24, .seed = 11, .phase = 2};
    settings.sizes.sequences = 12;
    settings.micro_batch = 3;
    settings.data_rank = rank;
    settings.num_data_ranks = num_ranks;
    settings.first_step = first_step;
    return settings;
  }
  std::shared_ptr<Dataset> counting_dataset() {
    const auto documents = counting_documents(40, 4, nullptr);
    const std::vector<TestDocument> first(documents.begin(), documents.begin() + 15);
    const std::vector<TestDocument> second(documents.begin() + 15, documents.end());
    return dataset_of(DatasetKind::kText, {write_shard(DatasetKind::kText, first),
                                           write_shard(DatasetKind::kText, second)});
  }
};

TEST_F(BatchStreamTest, BatchIsLaidOutAsDeclared) {
  const auto dataset = make(DatasetKind::kTagging,
                            {{.sentences = {{10, 11, 12}}, .token_labels = {0, -1, 2}},
                             {.sentences = {{20, 21, 22, 23}}, .token_labels = {1, 1, 1, 1}}});
  EvaluationStream stream(dataset, {.sample = {.kinds = {SampleKind::kTagging}, .max_tokens = 8}});
  const Batch batch = stream.next()->batch;
  ASSERT_EQ(batch.num_sequences(), 2);
  EXPECT_EQ(batch.starts, (Tokens{0, 5, 11}));
  EXPECT_EQ(batch.num_tokens(), 11);
  EXPECT_EQ(batch.max_tokens, 6);
  ASSERT_EQ(batch.tokens_N.size(), static_cast<std::size_t>(kRowMultiple));
  for (const Tokens* list : {&batch.positions_N, &batch.segments_N, &batch.token_labels_N}) {
    ASSERT_EQ(list->size(), batch.tokens_N.size());
  }
  const Tokens tokens = {2, 10, 11, 12, 3, 2, 20, 21, 22, 23, 3};
  const Tokens positions = {0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5};
  const Tokens labels = {-1, 0, -1, 2, -1, -1, 1, 1, 1, 1, -1};
  for (std::size_t row = 0; row < batch.tokens_N.size(); ++row) {
    const bool is_real = row < tokens.size();
    EXPECT_EQ(batch.tokens_N[row], is_real ? tokens[row] : 0);
    EXPECT_EQ(batch.positions_N[row], is_real ? positions[row] : 0);
    EXPECT_EQ(batch.token_labels_N[row], is_real ? labels[row] : -1);
    const std::uint64_t row_id = (std::uint64_t{row >= 5} << 16) | (is_real ? positions[row] : 0);
    EXPECT_EQ(batch.row_ids_N[row], is_real ? row_id : 0U);
  }
  EXPECT_TRUE(batch.target_rows_M.empty());
  EXPECT_TRUE(batch.sequence_labels_B.empty());
  EXPECT_FALSE(stream.next().has_value());
}

TEST_F(BatchStreamTest, MaskedRowsPointAtTheirTokens) {
  BatchStream stream(counting_dataset(), settings_of(0, 1));
  int num_told = 0;
  for (int step = 0; step < 5; ++step) {
    for (const Batch& batch : stream.next_step().micro_batches) {
      ASSERT_EQ(batch.target_rows_M.size() % kTargetRowMultiple, 0U);
      ASSERT_EQ(batch.target_rows_M.size(), batch.target_labels_M.size());
      ASSERT_EQ(batch.sequence_labels_B.size(), 3U);
      const std::set<std::int32_t> chosen(batch.target_rows_M.begin(), batch.target_rows_M.end());
      int num_masked = 0;
      for (std::size_t m = 0; m < batch.target_rows_M.size(); ++m) {
        const std::int32_t row = batch.target_rows_M[m];
        ASSERT_EQ(row == -1, batch.target_labels_M[m] == -1);
        if (row == -1) continue;
        ++num_masked;
        ASSERT_LT(row, batch.num_tokens());
        // Tokens count up through a text, so a left neighbour that was not chosen tells the true
        // token.
        const std::int32_t before = batch.tokens_N[row - 1];
        if (before >= text::kNumSpecialIds && chosen.count(row - 1) == 0) {
          EXPECT_EQ(batch.target_labels_M[m], before + 1);
          ++num_told;
        }
      }
      EXPECT_GE(num_masked, 3);
    }
  }
  EXPECT_GT(num_told, 20);
}

TEST_F(BatchStreamTest, SamplesAreTheSameOnAnyLayoutAndTheRanksTogetherMakeTheStep) {
  const auto dataset = counting_dataset();
  BatchStream whole(dataset, settings_of(0, 1));
  std::vector<StepBatches> steps;
  for (int step = 0; step < 20; ++step) steps.push_back(whole.next_step());
  for (const int num_ranks : {2, 3, 4, 8}) {
    std::vector<std::vector<Batch>> together(steps.size());
    for (int rank = 0; rank < num_ranks; ++rank) {
      BatchStream part(dataset, settings_of(rank, num_ranks));
      for (std::size_t step = 0; step < steps.size(); ++step) {
        StepBatches mine = part.next_step();
        ASSERT_EQ(mine.step, static_cast<std::int64_t>(step));
        for (Batch& batch : mine.micro_batches) together[step].push_back(std::move(batch));
      }
    }
    for (std::size_t step = 0; step < steps.size(); ++step) {
      ASSERT_EQ(together[step].size(), 4U);
      for (int m = 0; m < 4; ++m) {
        EXPECT_TRUE(together[step][m] == steps[step].micro_batches[m])
            << num_ranks << " ranks, step " << step << ", micro-batch " << m;
      }
    }
  }
}

TEST_F(BatchStreamTest, DealtInTurnARankHasEveryRthMicroBatch) {
  const auto dataset = counting_dataset();
  BatchStream whole(dataset, settings_of(0, 1));
  const StepBatches step = whole.next_step();
  for (const int num_ranks : {2, 4}) {
    for (int rank = 0; rank < num_ranks; ++rank) {
      StreamSettings settings = settings_of(rank, num_ranks);
      settings.dealing = Dealing::kInTurn;
      BatchStream part(dataset, settings);
      const StepBatches mine = part.next_step();
      ASSERT_EQ(mine.micro_batches.size(), static_cast<std::size_t>(4 / num_ranks));
      for (std::size_t m = 0; m < mine.micro_batches.size(); ++m) {
        const std::size_t number =
            m * static_cast<std::size_t>(num_ranks) + static_cast<std::size_t>(rank);
        EXPECT_TRUE(mine.micro_batches[m] == step.micro_batches[number]);
      }
    }
  }
}

TEST_F(BatchStreamTest, StartingAtAnyStepEqualsTheStraightStream) {
  const auto dataset = counting_dataset();
  BatchStream straight(dataset, settings_of(1, 2));
  for (std::int64_t step = 0; step < 25; ++step) {
    const StepBatches expected = straight.next_step();
    BatchStream resumed(dataset, settings_of(1, 2, step));
    const StepBatches actual = resumed.next_step();
    ASSERT_EQ(actual.step, step);
    ASSERT_EQ(actual.epoch, expected.epoch);
    ASSERT_EQ(actual.micro_batches.size(), 2U);
    for (int m = 0; m < 2; ++m) {
      EXPECT_TRUE(actual.micro_batches[m] == expected.micro_batches[m]) << "step " << step;
    }
  }
}

TEST_F(BatchStreamTest, MicroBatchesOnlyCutTheStep) {
  const auto dataset = counting_dataset();
  StreamSettings settings = settings_of(0, 1);
  settings.micro_batch = 0;
  BatchStream one(dataset, settings);
  settings.micro_batch = 5;  // 5 + 5 + 2
  BatchStream three(dataset, settings);
  const StepBatches whole = one.next_step(), parts = three.next_step();
  ASSERT_EQ(whole.micro_batches.size(), 1U);
  ASSERT_EQ(parts.micro_batches.size(), 3U);
  EXPECT_EQ(parts.micro_batches[2].num_sequences(), 2);
  Tokens joined;
  for (const Batch& batch : parts.micro_batches) {
    joined.insert(joined.end(), batch.tokens_N.begin(),
                  batch.tokens_N.begin() + batch.num_tokens());
  }
  const Batch& batch = whole.micro_batches[0];
  EXPECT_EQ(joined, Tokens(batch.tokens_N.begin(), batch.tokens_N.begin() + batch.num_tokens()));
}

TEST_F(BatchStreamTest, EpochHoldsEverySampleOnce) {
  std::vector<TestDocument> documents;
  for (int d = 0; d < 30; ++d) documents.push_back({.sentences = {{100 + d}}, .label = d % 3});
  const auto dataset = make(DatasetKind::kClassification, documents);
  StreamSettings settings;
  settings.sample = {.kinds = {SampleKind::kClassification}, .max_tokens = 8};
  settings.sizes.sequences = 6;
  BatchStream stream({{.dataset = dataset, .choice = {.max_of_phase = 24}}}, settings);
  EXPECT_EQ(stream.samples_per_epoch(), 24);
  EXPECT_EQ(stream.steps_of_epochs(3), 12);
  std::set<std::int32_t> choice;
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::map<std::int32_t, std::int32_t> seen;
    for (int step = 0; step < 4; ++step) {
      const StepBatches batches = stream.next_step();
      EXPECT_DOUBLE_EQ(batches.epoch, epoch + (step + 1) / 4.0);
      const Batch& batch = batches.micro_batches.at(0);
      for (std::int64_t b = 0; b < 6; ++b) {
        const std::int32_t token = batch.tokens_N[batch.starts[b] + 1];
        seen[token] = batch.sequence_labels_B[b];
        EXPECT_EQ(batch.sequence_labels_B[b], (token - 100) % 3);
      }
    }
    EXPECT_EQ(seen.size(), 24U);
    for (const auto& [token, label] : seen) choice.insert(token);
  }
  EXPECT_EQ(choice.size(), 24U);  // the same few in all epochs
}

TEST_F(BatchStreamTest, RowIdsCarryTheGlobalSample) {
  BatchStream stream(counting_dataset(), settings_of(1, 2, 40));
  const StepBatches step = stream.next_step();
  const Batch& batch = step.micro_batches.at(1);  // micro-batch 3 of 4: places 9, 10, 11
  for (std::int64_t b = 0; b < 3; ++b) {
    for (std::int32_t row = batch.starts[b]; row < batch.starts[b + 1]; ++row) {
      EXPECT_EQ(batch.row_ids_N[row] >> 16, static_cast<std::uint64_t>(40 * 12 + 9 + b));
      EXPECT_EQ(batch.row_ids_N[row] & 0xFFFF, static_cast<std::uint64_t>(row - batch.starts[b]));
    }
  }
}

TEST_F(BatchStreamTest, ReaderThreadsErrorReachesTheConsumerAgainAndAgain) {
  DatasetShard shard = write_shard(DatasetKind::kText, counting_documents(40, 4, nullptr));
  std::filesystem::remove(shard.path);
  BatchStream stream(dataset_of(DatasetKind::kText, {shard}), settings_of(0, 1));
  EXPECT_THROW(stream.next_step(), Error);
  EXPECT_THROW(stream.next_step(), Error);
}

TEST_F(BatchStreamTest, EarlierStepsComeOutBeforeTheError) {
  std::vector<TestDocument> documents;
  for (int d = 0; d < 20; ++d) {
    documents.push_back({.sentences = {{100 + d}}, .label = d == 13 ? 7 : 1});  // 3 labels only
  }
  EvaluationStream stream(
      make(DatasetKind::kClassification, documents),
      {.sample = {.kinds = {SampleKind::kClassification}, .max_tokens = 8}, .micro_batch = 5});
  EXPECT_EQ(stream.next()->batch.tokens_N[1], 100);
  EXPECT_EQ(stream.next()->batch.tokens_N[1], 105);
  EXPECT_THROW(stream.next(), DataError);
}

TEST_F(BatchStreamTest, EvaluationGivesEverySampleOnceAndEqualCountsToAllRanks) {
  const auto dataset = counting_dataset();
  EvaluationSettings settings{.sample = settings_of(0, 1).sample, .micro_batch = 7};
  std::vector<EvaluationBatch> alone;
  EvaluationStream stream(dataset, settings);
  EXPECT_EQ(stream.num_samples(), dataset->num_samples());
  while (auto batch = stream.next()) alone.push_back(std::move(*batch));
  ASSERT_EQ(static_cast<std::int64_t>(alone.size()), stream.num_batches());
  for (const int num_ranks : {1, 2, 4, 5}) {  // 1: the same masks at the next evaluation
    std::map<std::int64_t, Batch> together;
    std::int64_t num_empty = 0;
    for (int rank = 0; rank < num_ranks; ++rank) {
      settings.data_rank = rank;
      settings.num_data_ranks = num_ranks;
      EvaluationStream part(dataset, settings);
      std::int64_t count = 0;
      for (; auto batch = part.next(); ++count) {
        if (batch->batch.num_sequences() > 0) {
          together[batch->number] = std::move(batch->batch);
        } else {
          ++num_empty;
          EXPECT_TRUE(batch->batch.tokens_N.empty());
        }
      }
      EXPECT_EQ(count, (static_cast<std::int64_t>(alone.size()) + num_ranks - 1) / num_ranks);
    }
    EXPECT_LT(num_empty, num_ranks);
    ASSERT_EQ(together.size(), alone.size());
    for (const EvaluationBatch& batch : alone) {
      EXPECT_TRUE(together.at(batch.number) == batch.batch) << "batch " << batch.number;
    }
  }
}

TEST_F(BatchStreamTest, StreamCanBeDroppedAtAnyMoment) {
  const auto dataset = counting_dataset();
  StreamSettings settings = settings_of(0, 1);
  settings.sizes.sequences = 1 << 20;  // a step that takes far longer than the test
  settings.micro_batch = 1 << 20;
  const BatchStream busy(dataset, settings);
  BatchStream full(dataset, settings_of(0, 1));
  full.next_step();
}

}  // namespace
}  // namespace polyphase
