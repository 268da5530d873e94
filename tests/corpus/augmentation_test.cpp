// SPDX-License-Identifier: Apache-2.0
#include "corpus/augmentation.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "corpus/batch_stream.hpp"
#include "tests/corpus/corpus_fixture.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

using Tokens = std::vector<std::int32_t>;
constexpr std::int32_t kMask = text::kMaskId;

// Tokens that 10 divides begin a word.
std::shared_ptr<const std::vector<bool>> tens() {
  auto begins = std::make_shared<std::vector<bool>>(60000);
  for (std::size_t id = 10; id < begins->size(); id += 10) (*begins)[id] = true;
  return begins;
}

ShardText text_of(const std::vector<Tokens>& texts) {
  ShardText text;
  text.sentence_starts.push_back(0);
  for (const Tokens& tokens : texts) {
    text.tokens.insert(text.tokens.end(), tokens.begin(), tokens.end());
    text.sentence_starts.push_back(static_cast<std::int64_t>(text.tokens.size()));
  }
  return text;
}

ShardText changed(ShardText text, Augmentation settings, std::uint64_t stream = 0,
                  std::int64_t num_texts = 2, TextLabels labels = TextLabels::kNumbers) {
  settings.begins_word = tens();
  Draws draws(4711, stream);
  Augmenter(settings).change(text, num_texts, labels, draws);
  return text;
}

const std::vector<Tokens> kTwoTexts = {{10, 11, 20, 30, 31, 32}, {40, 50, 51}};

TEST(Augmenter, WithoutFractionsChangesNothing) {
  ShardText text = text_of(kTwoTexts);
  text.token_labels = {0, -1, 1, 2, -1, -1, 0, 1, -1};
  text.labels = {3, 5};
  text.value = 2.5F;
  const ShardText same = changed(text, {}, 0, 2, TextLabels::kPlaces);
  EXPECT_EQ(same.tokens, text.tokens);
  EXPECT_EQ(same.sentence_starts, text.sentence_starts);
  EXPECT_EQ(same.token_labels, text.token_labels);
  EXPECT_EQ(same.labels, text.labels);
  EXPECT_EQ(same.value, text.value);
}

TEST(Augmenter, MasksEveryPieceOfAWordAndLeavesTagsInTheirPlaces) {
  ShardText text = text_of(kTwoTexts);
  text.token_labels = {0, -1, 1, 2, -1, -1, 0, 1, -1};
  const ShardText all = changed(text, {.mask = 1.0});
  EXPECT_EQ(all.tokens, Tokens(9, kMask));
  EXPECT_EQ(all.token_labels, text.token_labels);
  EXPECT_EQ(all.sentence_starts, text.sentence_starts);
  const ShardText first_text = changed(text, {.mask = 1.0}, 0, 1);
  EXPECT_EQ(first_text.tokens, (Tokens{kMask, kMask, kMask, kMask, kMask, kMask, 40, 50, 51}));
  std::map<Tokens, int> seen;
  for (std::uint64_t stream = 0; stream < 400; ++stream)
    ++seen[changed(text_of({{10, 11, 20}}), {.mask = 0.5}, stream).tokens];
  ASSERT_EQ(seen.size(), 4U);  // each of both words or none, never half of one
  for (const auto& [tokens, times] : seen) EXPECT_GT(times, 60);  // 100 ± 8.7
  EXPECT_TRUE(seen.contains({kMask, kMask, 20}));
}

TEST(Augmenter, RemovesWholeWordsAndNeverTheLastOne) {
  std::map<Tokens, int> kept;
  for (std::uint64_t stream = 0; stream < 300; ++stream) {
    const ShardText text = changed(text_of(kTwoTexts), {.remove = 1.0}, stream);
    ASSERT_EQ(text.sentence_starts.size(), 3U);
    ++kept[Tokens(text.tokens.begin(), text.tokens.begin() + text.sentence_starts[1])];
    EXPECT_EQ(text.sentence_starts[2], static_cast<std::int64_t>(text.tokens.size()));
  }
  ASSERT_EQ(kept.size(), 3U);
  for (const Tokens& word : {Tokens{10, 11}, Tokens{20}, Tokens{30, 31, 32}})
    EXPECT_GT(kept[word], 50);  // 100 ± 8.2
}

TEST(Augmenter, SwapsNeighboursInPairs) {
  EXPECT_EQ(changed(text_of(kTwoTexts), {.swap = 1.0}).tokens,
            (Tokens{20, 10, 11, 30, 31, 32, 50, 51, 40}));
}

TEST(Augmenter, SpansCoverTheirShareByOneMaskForUpToThreeWords) {
  Tokens many;
  for (std::int32_t word = 1; word <= 5000; ++word) many.push_back(10 * word);
  for (const double share : {0.1, 0.3}) {
    const ShardText text = changed(text_of({many}), {.span = share});
    std::int64_t num_masks = 0, num_covered = 0;
    std::int32_t before = 0;
    for (const std::int32_t token : text.tokens) {
      if (token == kMask) {
        ++num_masks;
        continue;
      }
      num_covered += (token - before) / 10 - 1;
      before = token;
    }
    num_covered += (50000 - before) / 10;
    // A renewal of spans with a mean of 2 words: about 0.007 is the standard deviation of 5000.
    EXPECT_NEAR(static_cast<double>(num_covered) / 5000.0, share, 0.03);
    EXPECT_NEAR(static_cast<double>(num_covered) / static_cast<double>(num_masks), 2.0, 0.2);
  }
}

TEST(Augmenter, AnAnswerStaysWholeAndItsPlaceFollows) {
  ShardText text = text_of({{10, 20, 30}, {40, 50, 51, 52, 60, 61, 70, 80, 90}});
  text.labels = {5, 7};  // 51, 52, 60: parts of two words
  std::map<std::int32_t, int> firsts;
  bool answer_behind_other_words = false;
  for (std::uint64_t stream = 0; stream < 500; ++stream) {
    const ShardText now = changed(text, {.swap = 0.4, .remove = 0.4, .span = 0.3, .mask = 0.3},
                                  stream, 2, TextLabels::kPlaces);
    ASSERT_EQ(now.labels.size(), 2U);
    ASSERT_EQ(now.labels[1] - now.labels[0], 2);
    const Tokens answer(now.tokens.begin() + now.labels[0], now.tokens.begin() + now.labels[1] + 1);
    EXPECT_EQ(answer, (Tokens{51, 52, 60}));
    EXPECT_EQ(now.tokens[now.labels[0] - 1], 50);
    EXPECT_EQ(now.tokens[now.labels[1] + 1], 61);
    EXPECT_GE(now.labels[0], now.sentence_starts[1]);
    ++firsts[now.labels[0]];
    answer_behind_other_words |= now.tokens[now.labels[0] - 2] == 40;
  }
  EXPECT_GE(firsts.size(), 3U);
  EXPECT_TRUE(answer_behind_other_words);
}

class AugmentedSamples : public CorpusTest {
 protected:
  // One character a piece; a word's mark is one of its own.
  AugmentedSamples() {
    bool given = false;
    tokenizer_.emplace(
        text::Tokenizer::train({.kind = "char", .vocab_size = 40}, [&given](std::string& sentence) {
          sentence = "abcdefgh abcdefgh a b c d e f g h";
          return !std::exchange(given, true);
        }));
    const std::string path = (folder_ / "synonyms.tsv").string();
    std::ofstream(path) << "ab\tcd\tfed\ng\thh\n";
    auto begins = std::make_shared<std::vector<bool>>();
    for (std::int64_t id = 0; id < tokenizer_->vocab_size(); ++id)
      begins->push_back(tokenizer_->starts_word(id));
    settings_ = std::make_shared<Augmentation>(
        Augmentation{.synonyms = 1.0,
                     .table = std::make_shared<SynonymTable>(path, *tokenizer_),
                     .begins_word = begins});
  }
  std::optional<text::Tokenizer> tokenizer_;
  std::shared_ptr<Augmentation> settings_;
};

TEST_F(AugmentedSamples, SynonymsReplaceWholeWordsAndKeepTheirTags) {
  const text::EncodedWords words = tokenizer_->encode_words({"abc", "ab", "g", "b"});
  ShardText text;
  text.tokens = words.ids;
  text.sentence_starts = {0, static_cast<std::int64_t>(words.ids.size())};
  text.token_labels.assign(words.ids.size(), -1);
  for (std::size_t w = 0; w < 4; ++w)
    text.token_labels[words.first_pieces[w]] = static_cast<std::int32_t>(w);
  std::map<std::string, int> seen;
  for (std::uint64_t stream = 0; stream < 200; ++stream) {
    ShardText now = text;
    Draws draws(5, stream);
    Augmenter(*settings_).change(now, 1, TextLabels::kNumbers, draws);
    const std::string words_now = tokenizer_->decode(now.tokens);
    ++seen[words_now];
    Tokens tags;
    ASSERT_EQ(now.token_labels.size(), now.tokens.size());
    for (std::size_t i = 0; i < now.tokens.size(); ++i) {
      EXPECT_EQ(now.token_labels[i] >= 0, tokenizer_->starts_word(now.tokens[i])) << words_now;
      if (now.token_labels[i] >= 0) tags.push_back(now.token_labels[i]);
    }
    EXPECT_EQ(tags, (Tokens{0, 1, 2, 3}));
  }
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_GT(seen["abc cd hh b"], 60);  // 100 ± 7
  EXPECT_GT(seen["abc fed hh b"], 60);
}

TEST_F(AugmentedSamples, DependOnTheGlobalSampleAndStandStillInEvaluation) {
  const auto dataset = make(DatasetKind::kClassification,
                            {{.sentences = {{10, 20, 30, 40, 50, 60, 70, 80}}, .label = 1}});
  SampleSettings settings = {.kinds = {SampleKind::kClassification}, .max_tokens = 16};
  settings.augmentation =
      std::make_shared<Augmentation>(Augmentation{.remove = 0.5, .begins_word = tens()});
  const auto made = [&](std::uint64_t global_sample) {
    Sample sample;
    SampleMaker(*dataset, settings).make(0, {.global_sample = global_sample}, sample);
    EXPECT_EQ(sample.sequence_label, 1);
    return sample.tokens;
  };
  EXPECT_EQ(made(3), made(3));
  std::map<Tokens, int> different;
  for (std::uint64_t g = 0; g < 50; ++g) ++different[made(g)];
  EXPECT_GT(different.size(), 30U);
  settings.phase = 2;
  std::map<Tokens, int> of_other_phase;
  for (std::uint64_t g = 0; g < 50; ++g) ++of_other_phase[made(g)];
  EXPECT_NE(of_other_phase, different);
  settings.evaluation = true;
  EXPECT_EQ(made(3), (Tokens{2, 10, 20, 30, 40, 50, 60, 70, 80, 3}));
}

TEST_F(AugmentedSamples, TargetsOfGenerationAreNeverTouched) {
  const auto dataset = make(DatasetKind::kGeneration, {{.sentences = {{10, 20, 30}, {40, 50}}}});
  SampleSettings settings = {
      .kinds = {SampleKind::kGeneration}, .encoder_decoder = true, .max_tokens = 16};
  settings.augmentation =
      std::make_shared<Augmentation>(Augmentation{.mask = 1.0, .begins_word = tens()});
  Sample sample;
  SampleMaker(*dataset, settings).make(0, {}, sample);
  EXPECT_EQ(sample.source, (Tokens{kMask, kMask, kMask, 3}));
  EXPECT_EQ(sample.tokens, (Tokens{2, 40, 50}));
  EXPECT_EQ(sample.targets.labels, (Tokens{40, 50, 3}));
}

// All at once: a mixture with a curriculum and augmentation, from any step on any number of ranks.
TEST_F(AugmentedSamples, StreamIsTheSameFromAnyStepOnAnyLayout) {
  std::vector<TestDocument> documents;
  for (int d = 0; d < 60; ++d)
    documents.push_back({.sentences = {Tokens(1 + d % 12, 10 * (d + 1))}, .label = d % 3});
  const std::vector<TrainingSource> sources = {
      {.dataset = make(DatasetKind::kClassification, documents),
       .weight = 2.0,
       .choice = {.min_tokens = 3}},
      {.dataset = make(DatasetKind::kClassification, documents), .weight = 1.0, .choice = {}}};
  StreamSettings settings = {.sizes = {.sequences = 8},
                             .micro_batch = 2,
                             .temperature = 2.0,
                             .curriculum = {.start = 0.1, .steps = 10}};
  settings.sample = {
      .kinds = {SampleKind::kClassification}, .max_tokens = 16, .seed = 11, .phase = 2};
  settings.sample.augmentation = std::make_shared<Augmentation>(
      Augmentation{.swap = 0.2, .remove = 0.2, .span = 0.2, .mask = 0.2, .begins_word = tens()});
  BatchStream whole(sources, settings);
  for (std::int64_t step = 0; step < 16; ++step) {
    const StepBatches expected = whole.next_step();
    settings.first_step = step;
    settings.num_data_ranks = 2;
    std::vector<Batch> together;
    for (settings.data_rank = 0; settings.data_rank < 2; ++settings.data_rank) {
      StepBatches part = BatchStream(sources, settings).next_step();
      for (Batch& batch : part.micro_batches) together.push_back(std::move(batch));
    }
    ASSERT_EQ(together.size(), expected.micro_batches.size());
    for (std::size_t m = 0; m < together.size(); ++m) {
      EXPECT_EQ(together[m].tokens_N, expected.micro_batches[m].tokens_N) << "step " << step;
      EXPECT_EQ(together[m].row_ids_N, expected.micro_batches[m].row_ids_N);
      EXPECT_EQ(together[m].sequence_labels_B, expected.micro_batches[m].sequence_labels_B);
    }
  }
}

}  // namespace
}  // namespace polyphase
