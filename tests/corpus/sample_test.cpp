// SPDX-License-Identifier: Apache-2.0
#include "corpus/sample.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "corpus/batch_builder.hpp"
#include "corpus/text_layout.hpp"
#include "tests/corpus/corpus_fixture.hpp"

namespace polyphase {
namespace {

using Tokens = std::vector<std::int32_t>;

class SampleTest : public CorpusTest {
 protected:
  static Sample make_sample(Dataset& dataset, const SampleSettings& settings, std::int64_t number) {
    Sample sample;
    SampleMaker(dataset, settings)
        .make(number, {.global_sample = static_cast<std::uint64_t>(number)}, sample);
    return sample;
  }
  static SampleSettings plain_text(std::int64_t max_tokens) {
    return {.kinds = {SampleKind::kPretraining},
            .masked_language_model = false,
            .max_tokens = max_tokens};
  }
};

TEST_F(SampleTest, TextIsFilledUpByFollowingSentencesOfItsDocument) {
  const auto dataset = make(DatasetKind::kText, {{.sentences = {{10, 11}, {12, 13, 14}, {15}}},
                                                 {.sentences = {{20, 21, 22}}}});
  ASSERT_EQ(dataset->num_samples(), 4);
  const Sample whole = make_sample(*dataset, plain_text(8), 0);
  EXPECT_EQ(whole.tokens, (Tokens{2, 10, 11, 12, 13, 14, 15, 3}));
  EXPECT_EQ(whole.segments, Tokens(8, 0));
  EXPECT_EQ(make_sample(*dataset, plain_text(8), 1).tokens, (Tokens{2, 12, 13, 14, 15, 3}));
  EXPECT_EQ(make_sample(*dataset, plain_text(8), 2).tokens, (Tokens{2, 15, 3}));
  EXPECT_EQ(make_sample(*dataset, plain_text(8), 3).tokens, (Tokens{2, 20, 21, 22, 3}));
  EXPECT_FALSE(whole.truncated);
  EXPECT_EQ(whole.sequence_label, -1);
  EXPECT_TRUE(whole.token_labels.empty());
  EXPECT_TRUE(whole.targets.positions.empty());
}

TEST_F(SampleTest, OnlyWholeSentencesAreAdded) {
  const auto dataset =
      make(DatasetKind::kText, {{.sentences = {{10, 11, 12}, {13, 14, 15, 16}, {17}}}});
  EXPECT_EQ(make_sample(*dataset, plain_text(8), 0).tokens, (Tokens{2, 10, 11, 12, 3}));
}

TEST_F(SampleTest, LongSentenceIsCutAndCounted) {
  const auto dataset =
      make(DatasetKind::kText, {{.sentences = {{10, 11, 12, 13, 14, 15, 16}, {17}}}});
  const Sample sample = make_sample(*dataset, plain_text(8), 0);
  EXPECT_EQ(sample.tokens, (Tokens{2, 10, 11, 12, 13, 14, 15, 3}));
  EXPECT_TRUE(sample.truncated);
}

TEST_F(SampleTest, MasksAreDrawnAnewEachEpochAndNeverInAnEvaluation) {
  std::vector<TestDocument> documents(1);
  documents[0].sentences = {Tokens(60, 100)};
  const auto dataset = make(DatasetKind::kText, documents);
  SampleSettings settings = plain_text(64);
  settings.masked_language_model = true;
  const auto positions = [&](const SampleSettings& with, std::uint64_t global_sample) {
    Sample sample;
    SampleMaker(*dataset, with).make(0, {.global_sample = global_sample}, sample);
    return sample.targets.positions;
  };
  EXPECT_EQ(positions(settings, 7), positions(settings, 7));
  EXPECT_NE(positions(settings, 7), positions(settings, 8));
  SampleSettings other_phase = settings;
  other_phase.phase = 1;
  EXPECT_NE(positions(settings, 7), positions(other_phase, 7));
  settings.evaluation = other_phase.evaluation = true;
  EXPECT_EQ(positions(settings, 0), positions(other_phase, 0));
}

TEST_F(SampleTest, ClassificationOfOneTextAndOfTwo) {
  const auto dataset = make(
      DatasetKind::kClassification,
      {{.sentences = {{10, 11, 12}}, .label = 2}, {.sentences = {{20, 21}, {30}}, .label = 0}});
  ASSERT_EQ(dataset->num_samples(), 2);
  const SampleSettings settings{.kinds = {SampleKind::kClassification}, .max_tokens = 16};
  const Sample one = make_sample(*dataset, settings, 0);
  EXPECT_EQ(one.tokens, (Tokens{2, 10, 11, 12, 3}));
  EXPECT_EQ(one.sequence_label, 2);
  const Sample two = make_sample(*dataset, settings, 1);
  EXPECT_EQ(two.tokens, (Tokens{2, 20, 21, 3, 30, 3}));
  EXPECT_EQ(two.segments, (Tokens{0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(two.sequence_label, 0);
  EXPECT_TRUE(two.targets.positions.empty());
}

TEST_F(SampleTest, TokensOfBothTextsAreMarkedAfterMasking) {
  Sample pair;
  pair.tokens = {2, 10, 11, 4, 12, 3, 12, 10, 10, 4, 13, 3};
  pair.segments = {0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1};
  EXPECT_EQ(segments_with_matches(pair), (Tokens{0, 2, 0, 0, 2, 0, 3, 3, 3, 1, 1, 1}));
  const Sample single{.tokens = {2, 10, 10, 3}, .segments = {0, 0, 0, 0}};
  EXPECT_EQ(segments_with_matches(single), single.segments);

  pair.ends = {12};
  SampleSettings settings{.kinds = {SampleKind::kClassification}, .max_tokens = 16};
  const auto built = [&] {
    BatchBuilder builder(settings);
    builder.add(pair, 0);
    Tokens segments = builder.finish().segments_N;
    segments.resize(pair.tokens.size());
    return segments;
  };
  EXPECT_EQ(built(), pair.segments);
  settings.matches = true;
  EXPECT_EQ(built(), segments_with_matches(pair));
}

TEST_F(SampleTest, TheLongerOfTwoTextsIsCutFirst) {
  const auto dataset =
      make(DatasetKind::kClassification,
           {{.sentences = {{10, 11, 12, 13, 14, 15}, {30}}, .label = 0},
            {.sentences = {{10}, {30, 31, 32, 33, 34, 35}}, .label = 0},
            {.sentences = {{10, 11, 12, 13, 14, 15}, {30, 31, 32, 33, 34, 35}}, .label = 0}});
  const SampleSettings settings{.kinds = {SampleKind::kClassification}, .max_tokens = 8};
  EXPECT_EQ(make_sample(*dataset, settings, 0).tokens, (Tokens{2, 10, 11, 12, 13, 3, 30, 3}));
  EXPECT_EQ(make_sample(*dataset, settings, 1).tokens, (Tokens{2, 10, 3, 30, 31, 32, 33, 3}));
  const Sample both = make_sample(*dataset, settings, 2);
  EXPECT_EQ(both.tokens, (Tokens{2, 10, 11, 12, 3, 30, 31, 3}));
  EXPECT_TRUE(both.truncated);
}

TEST_F(SampleTest, TagsStayWithTheirTokens) {
  const auto dataset =
      make(DatasetKind::kTagging,
           {{.sentences = {{10, 11, 12}}, .token_labels = {1, -1, 2}},
            {.sentences = {{10, 11, 12, 13, 14, 15, 16}}, .token_labels = {0, 1, 2, 0, 1, 2, 0}}});
  const SampleSettings settings{.kinds = {SampleKind::kTagging}, .max_tokens = 8};
  const Sample sample = make_sample(*dataset, settings, 0);
  EXPECT_EQ(sample.tokens, (Tokens{2, 10, 11, 12, 3}));
  EXPECT_EQ(sample.token_labels, (Tokens{-1, 1, -1, 2, -1}));
  EXPECT_FALSE(sample.truncated);
  const Sample cut = make_sample(*dataset, settings, 1);
  EXPECT_EQ(cut.token_labels, (Tokens{-1, 0, 1, 2, 0, 1, 2, -1}));
  EXPECT_TRUE(cut.truncated);
}

TEST_F(SampleTest, LabelOutsideTheNamesIsRefused) {
  const auto classes = make(DatasetKind::kClassification, {{.sentences = {{10}}, .label = 3}});
  EXPECT_THROW(make_sample(*classes, {.kinds = {SampleKind::kClassification}}, 0), DataError);
  const auto tags =
      make(DatasetKind::kTagging, {{.sentences = {{10, 11}}, .token_labels = {0, 3}}});
  EXPECT_THROW(make_sample(*tags, {.kinds = {SampleKind::kTagging}}, 0), DataError);
}

TEST_F(SampleTest, CorpusOfAnotherKindIsRefused) {
  const auto dataset = make(DatasetKind::kText, {{.sentences = {{10}}}});
  EXPECT_THROW(SampleMaker(*dataset, {.kinds = {SampleKind::kTagging}}), RecipeError);
  EXPECT_THROW(SampleMaker(*dataset, plain_text(kMinMaxTokens - 1)), RecipeError);
}

TEST_F(SampleTest, ShardThatHoldsSomethingElseIsRefused) {
  DatasetShard shard = write_shard(DatasetKind::kText, {{.sentences = {{10}, {11}}}});
  ++shard.num_tokens;
  const auto dataset = dataset_of(DatasetKind::kText, {shard});
  EXPECT_THROW(make_sample(*dataset, plain_text(8), 0), DataError);
}

TEST_F(SampleTest, NumbersRunThroughAllShards) {
  const auto first = write_shard(DatasetKind::kText, {{.sentences = {{10}, {11}}}});
  const auto second =
      write_shard(DatasetKind::kText, {{.sentences = {{20}}}, {.sentences = {{21}, {22}}}});
  const auto dataset = dataset_of(DatasetKind::kText, {first, second});
  ASSERT_EQ(dataset->num_samples(), 5);
  ASSERT_EQ(dataset->num_documents(), 3);
  EXPECT_EQ(dataset->num_tokens(), 5);
  EXPECT_EQ(make_sample(*dataset, plain_text(8), 1).tokens, (Tokens{2, 11, 3}));
  EXPECT_EQ(make_sample(*dataset, plain_text(8), 2).tokens, (Tokens{2, 20, 3}));
  EXPECT_EQ(make_sample(*dataset, plain_text(8), 3).tokens, (Tokens{2, 21, 22, 3}));
  EXPECT_EQ(dataset->document_of(4).number, 2);
  EXPECT_EQ(dataset->document_of(4).first_sentence, 3);
}

}  // namespace
}  // namespace polyphase
