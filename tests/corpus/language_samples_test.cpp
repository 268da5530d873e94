// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/error.hpp"
#include "corpus/batch_builder.hpp"
#include "corpus/sample.hpp"
#include "corpus/span_corruption.hpp"
#include "tests/corpus/corpus_fixture.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

using Tokens = std::vector<std::int32_t>;

class LanguageSamples : public CorpusTest {
 protected:
  static Sample make_sample(Dataset& dataset, const SampleSettings& settings, std::int64_t number,
                            std::uint64_t global_sample) {
    Sample sample;
    SampleMaker(dataset, settings).make(number, {.global_sample = global_sample}, sample);
    return sample;
  }
};

TEST_F(LanguageSamples, AWindowHoldsEachDocumentAsASequenceOfItsOwn) {
  const auto dataset = make(DatasetKind::kText, {{.sentences = {{10, 11, 12}}},
                                                 {.sentences = {{20, 21}, {22, 23, 24, 25}}}});
  const SampleSettings settings{
      .kinds = {SampleKind::kCausal}, .max_tokens = 8, .evaluation = true};
  ASSERT_EQ(SampleMaker(*dataset, settings).num_samples(), 2);  // 3 + 1 + 6 + 1 rows
  const Sample first = make_sample(*dataset, settings, 0, 0);
  EXPECT_EQ(first.tokens, (Tokens{2, 10, 11, 12, 2, 20, 21, 22}));
  EXPECT_EQ(first.ends, (Tokens{4, 8}));
  EXPECT_EQ(first.targets.positions, (Tokens{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(first.targets.labels, (Tokens{10, 11, 12, 3, 20, 21, 22, 23}));
  const Sample second = make_sample(*dataset, settings, 1, 1);
  EXPECT_EQ(second.tokens, (Tokens{23, 24, 25}));
  EXPECT_EQ(second.targets.labels, (Tokens{24, 25, 3}));
}

// Every row of the stream is a sample's once, whatever the documents' bounds.
TEST_F(LanguageSamples, AnEvaluationPredictsEveryTokenOnce) {
  const auto dataset = dataset_of(
      DatasetKind::kText, {write_shard(DatasetKind::kText, counting_documents(40, 4, nullptr))});
  const SampleSettings settings{
      .kinds = {SampleKind::kCausal}, .max_tokens = 16, .evaluation = true};
  SampleMaker maker(*dataset, settings);
  std::map<std::int32_t, int> predicted;
  for (std::int64_t i = 0; i < maker.num_samples(); ++i) {
    Sample sample;
    maker.make(i, {.global_sample = static_cast<std::uint64_t>(i)}, sample);
    for (const std::int32_t label : sample.targets.labels) ++predicted[label];
  }
  EXPECT_EQ(predicted[text::kSepId], dataset->num_documents());
  predicted.erase(text::kSepId);
  EXPECT_EQ(static_cast<std::int64_t>(predicted.size()), dataset->num_tokens());
  for (const auto& [token, times] : predicted) EXPECT_EQ(times, 1) << token;
}

TEST_F(LanguageSamples, WindowsOfAnEpochDoNotOverlapAndBeginElsewhereInTheNext) {
  const auto dataset = dataset_of(
      DatasetKind::kText, {write_shard(DatasetKind::kText, counting_documents(60, 4, nullptr))});
  const SampleSettings settings{.kinds = {SampleKind::kCausal}, .max_tokens = 16};
  SampleMaker maker(*dataset, settings);
  const auto n = static_cast<std::uint64_t>(maker.num_samples());
  const auto labels_of_epoch = [&](std::int64_t epoch) {
    Tokens labels;
    for (std::uint64_t i = 0; i < n; ++i) {
      Sample sample;
      const SampleRole role = {.global_sample = static_cast<std::uint64_t>(epoch) * n + i,
                               .epoch = epoch};
      maker.make(static_cast<std::int64_t>(i), role, sample);
      EXPECT_EQ(sample.tokens.size(), 16U);
      for (const std::int32_t label : sample.targets.labels)
        if (label != text::kSepId) labels.push_back(label);
    }
    return labels;
  };
  const Tokens first = labels_of_epoch(0), second = labels_of_epoch(1);
  EXPECT_TRUE(std::is_sorted(first.begin(), first.end()));
  EXPECT_EQ(std::adjacent_find(first.begin(), first.end()), first.end());
  EXPECT_NE(first.front(), second.front());
}

TEST_F(LanguageSamples, RowsInsideAPrefixPredictNothing) {
  const auto dataset = make(DatasetKind::kText, {{.sentences = {{10, 11, 12, 13, 14, 15, 16}}}});
  const SampleSettings settings{
      .kinds = {SampleKind::kPrefix}, .max_tokens = 8, .evaluation = true};
  const Sample sample = make_sample(*dataset, settings, 0, 0);
  ASSERT_EQ(sample.prefixes.size(), 1U);
  const std::int32_t prefix = sample.prefixes[0];
  EXPECT_GE(prefix, 1);
  EXPECT_EQ(sample.targets.positions.front(), prefix - 1);
  EXPECT_EQ(sample.targets.positions.size(), 8U - static_cast<std::size_t>(prefix) + 1);
}

TEST_F(LanguageSamples, CorruptedSpansPutTogetherGiveTheText) {
  Tokens text;
  for (std::int32_t token = 100; token < 160; ++token) text.push_back(token);
  std::int64_t num_taken = 0;
  for (std::uint64_t stream = 0; stream < 200; ++stream) {
    Draws draws(5, stream);
    Tokens source, target;
    corrupt_spans(text, {.first_sentinel = 1000}, draws, source, target);
    EXPECT_LT(source.front(), 1000);  // a kept stretch comes first
    std::map<std::int32_t, Tokens> spans;
    std::int32_t sentinel = -1;
    for (const std::int32_t token : target) {
      if (token >= 1000) {
        EXPECT_EQ(token, sentinel < 0 ? 1000 : sentinel + 1);
        sentinel = token;
      } else {
        spans[sentinel].push_back(token);
        ++num_taken;
      }
    }
    Tokens whole;
    for (const std::int32_t token : source) {
      if (token < 1000) {
        whole.push_back(token);
      } else {
        whole.insert(whole.end(), spans[token].begin(), spans[token].end());
      }
    }
    EXPECT_EQ(whole, text);
    EXPECT_EQ(spans.size(), 3U);  // 9 tokens in spans of 3
  }
  EXPECT_EQ(num_taken, 200 * 9);
}

TEST_F(LanguageSamples, SpansBecomeSourceAndTargetOfAPair) {
  const auto dataset = make(DatasetKind::kText, {{.sentences = {{10, 11, 12, 13, 14, 15}}}});
  const SampleSettings settings{.kinds = {SampleKind::kSpans},
                                .mask_fraction = 0.5,
                                .encoder_decoder = true,
                                .max_tokens = 16,
                                .first_sentinel = 1000,
                                .num_sentinels = 100};
  const Sample sample = make_sample(*dataset, settings, 0, 0);
  EXPECT_EQ(sample.source.back(), text::kSepId);
  EXPECT_EQ(sample.tokens.front(), text::kClsId);
  EXPECT_EQ(sample.targets.labels.front(), 1000);
  EXPECT_EQ(sample.targets.labels.back(), text::kSepId);
  ASSERT_EQ(sample.targets.labels.size(), sample.tokens.size());
  for (std::size_t i = 1; i < sample.tokens.size(); ++i)
    EXPECT_EQ(sample.tokens[i], sample.targets.labels[i - 1]);
}

TEST_F(LanguageSamples, APrefixAndItsContinuationAreTheText) {
  const Tokens text = {10, 11, 12, 13, 14, 15};
  const auto dataset = make(DatasetKind::kText, {{.sentences = {text}}, {.sentences = {{20}}}});
  const SampleSettings settings{
      .kinds = {SampleKind::kPrefix}, .encoder_decoder = true, .max_tokens = 16};
  std::map<std::size_t, int> sizes;
  for (std::uint64_t global_sample = 0; global_sample < 600; ++global_sample) {
    Sample sample = make_sample(*dataset, settings, 0, global_sample);
    ASSERT_EQ(sample.source.back(), text::kSepId);
    ASSERT_EQ(sample.tokens.front(), text::kClsId);
    ASSERT_EQ(sample.targets.labels.back(), text::kSepId);
    ASSERT_EQ(sample.targets.labels.size(), sample.tokens.size());
    sample.source.pop_back();
    ++sizes[sample.source.size()];
    Tokens whole = sample.source;
    whole.insert(whole.end(), sample.tokens.begin() + 1, sample.tokens.end());
    EXPECT_EQ(whole, text);
    EXPECT_TRUE(
        std::equal(sample.tokens.begin() + 1, sample.tokens.end(), sample.targets.labels.begin()));
    EXPECT_TRUE(sample.prefixes.empty());
  }
  ASSERT_EQ(sizes.size(), 6U);  // none to all but one, each about 100 times
  for (const auto& [size, count] : sizes) EXPECT_NEAR(count, 100, 45) << size;
  const Sample shortest = make_sample(*dataset, settings, 1, 0);
  EXPECT_EQ(shortest.source, (Tokens{text::kSepId}));
  EXPECT_EQ(shortest.targets.labels, (Tokens{20, text::kSepId}));
}

TEST_F(LanguageSamples, OnlyTheAnswerOfAPromptIsPredicted) {
  const auto dataset = make(DatasetKind::kGeneration, {{.sentences = {{10, 11, 12}, {20, 21}}}});
  const Sample one =
      make_sample(*dataset, {.kinds = {SampleKind::kGeneration}, .max_tokens = 16}, 0, 0);
  EXPECT_EQ(one.tokens, (Tokens{2, 10, 11, 12, 3, 20, 21}));
  EXPECT_EQ(one.targets.positions, (Tokens{4, 5, 6}));
  EXPECT_EQ(one.targets.labels, (Tokens{20, 21, 3}));
  const Sample two = make_sample(
      *dataset, {.kinds = {SampleKind::kGeneration}, .encoder_decoder = true, .max_tokens = 16}, 0,
      0);
  EXPECT_EQ(two.source, (Tokens{10, 11, 12, 3}));
  EXPECT_EQ(two.tokens, (Tokens{2, 20, 21}));
  EXPECT_EQ(two.targets.labels, (Tokens{20, 21, 3}));
}

TEST_F(LanguageSamples, BatchesLaySourcesBesideTargets) {
  const auto dataset = make(DatasetKind::kGeneration, {{.sentences = {{10, 11, 12}, {20, 21}}},
                                                       {.sentences = {{13}, {22, 23, 24}}}});
  const SampleSettings settings{
      .kinds = {SampleKind::kGeneration}, .encoder_decoder = true, .max_tokens = 16};
  BatchBuilder builder(settings);
  for (int i = 0; i < 2; ++i) builder.add(make_sample(*dataset, settings, i, i), i);
  const Batch batch = builder.finish();
  EXPECT_EQ(batch.starts, (Tokens{0, 3, 7}));
  EXPECT_EQ(batch.source.starts, (Tokens{0, 4, 6}));
  EXPECT_EQ(batch.source.tokens_N.size() % kRowMultiple, 0U);
  EXPECT_EQ(Tokens(batch.target_rows_M.begin(), batch.target_rows_M.begin() + 8),
            (Tokens{0, 1, 2, 3, 4, 5, 6, -1}));
}

// A question of two tokens and a context of 100, 100 … 199, whose answer is 170 … 172; the same
// without an answer.
std::vector<TestDocument> long_contexts() {
  Tokens context;
  for (std::int32_t token = 100; token < 200; ++token) context.push_back(token);
  return {{.sentences = {{10, 11}, context}, .labels = {2 + 70, 2 + 72}},
          {.sentences = {{10, 11}, context}}};
}

TEST_F(LanguageSamples, TrainingShowsWindowsWithTheAnswerAndWindowsWithout) {
  const auto dataset = make(DatasetKind::kQuestionAnswering, long_contexts());
  const SampleSettings settings{.kinds = {SampleKind::kQuestionAnswering}, .max_tokens = 32};
  std::map<std::int32_t, int> starts;
  int num_answers = 0;
  for (std::uint64_t global = 0; global < 60; ++global) {
    const Sample sample = make_sample(*dataset, settings, 0, global);
    ASSERT_EQ(sample.tokens.size(), 32U);
    const std::int32_t first = sample.tokens[4], last = sample.tokens[30];
    ++starts[first];
    if (first > 170 || last < 172) {  // not whole
      EXPECT_EQ(sample.answer_first, 0);
      EXPECT_EQ(sample.answer_last, 0);
      continue;
    }
    ++num_answers;
    EXPECT_EQ(sample.tokens[sample.answer_first], 170);
    EXPECT_EQ(sample.tokens[sample.answer_last], 172);
    EXPECT_EQ(sample.segments[sample.answer_first], 1);
  }
  EXPECT_GT(starts.size(), 20U);
  // Half of the windows, and 25 of 74 places of the other half: 40 of 60, deviation 3.7.
  EXPECT_GT(num_answers, 25);
  EXPECT_LT(num_answers, 55);
  const Sample none = make_sample(*dataset, settings, 1, 0);
  EXPECT_EQ(none.answer_first, 0);
  EXPECT_EQ(none.answer_last, 0);
}

TEST_F(LanguageSamples, AnAnswerOutsideOfItsContextIsRefused) {
  const SampleSettings settings{.kinds = {SampleKind::kQuestionAnswering}, .max_tokens = 32};
  for (const Tokens& labels : {Tokens{1, 3}, Tokens{3, 2}, Tokens{3, 5}, Tokens{3}}) {
    const auto dataset = make(DatasetKind::kQuestionAnswering,
                              {{.sentences = {{10, 11}, {12, 13, 14}}, .labels = labels}});
    EXPECT_THROW(make_sample(*dataset, settings, 0, 0), DataError);
  }
}

TEST_F(LanguageSamples, EvaluationShowsTheWindowWithTheAnswer) {
  const auto dataset = make(DatasetKind::kQuestionAnswering, long_contexts());
  const SampleSettings settings{
      .kinds = {SampleKind::kQuestionAnswering}, .max_tokens = 32, .evaluation = true};
  for (std::uint64_t global = 0; global < 20; ++global) {
    const Sample sample = make_sample(*dataset, settings, 0, global);
    EXPECT_EQ(sample.tokens[sample.answer_first], 170);
    EXPECT_EQ(sample.tokens[sample.answer_last], 172);
    EXPECT_EQ(make_sample(*dataset, settings, 1, global).tokens[4], 100);  // the first window
  }
}

TEST_F(LanguageSamples, SentenceOrderSwapsNeighbours) {
  const auto dataset = make(DatasetKind::kText, {{.sentences = {{10, 11}, {12, 13}}}});
  const SampleSettings settings{
      .kinds = {SampleKind::kSentenceOrder}, .masked_language_model = false, .max_tokens = 16};
  int swapped = 0;
  for (std::uint64_t global = 0; global < 100; ++global) {
    const Sample sample = make_sample(*dataset, settings, 0, global);
    const Tokens expected = sample.sequence_label == 1 ? Tokens{2, 12, 13, 3, 10, 11, 3}
                                                       : Tokens{2, 10, 11, 3, 12, 13, 3};
    EXPECT_EQ(sample.tokens, expected);
    swapped += sample.sequence_label;
  }
  EXPECT_GT(swapped, 25);
  EXPECT_LT(swapped, 75);
}

}  // namespace
}  // namespace polyphase
