// SPDX-License-Identifier: Apache-2.0
#include "corpus/sentence_pair.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include "corpus/sample.hpp"
#include "tests/corpus/corpus_fixture.hpp"

namespace polyphase {
namespace {

using Tokens = std::vector<std::int32_t>;

class SentencePairTest : public CorpusTest {
 protected:
  struct Texts {
    Tokens a, b;
    std::int32_t label;
    bool truncated;
  };
  static Texts draw(Dataset& dataset, std::int64_t anchor, std::int64_t total_tokens,
                    std::uint64_t stream) {
    Draws draws(123, stream);
    const LabelledPair pair = draw_labelled_pair(dataset, anchor, total_tokens, draws).value();
    return {read(dataset, pair.a), read(dataset, pair.b), pair.label, pair.truncated};
  }
  static bool is_alone(Dataset& dataset, std::int64_t anchor) {
    return dataset.document_of(anchor).num_sentences == 1;
  }
  static Tokens read(Dataset& dataset, const TextRange& range) {
    ShardText text;
    dataset.read_sentences(range.first_sentence, range.num_sentences, text);
    const auto begin = text.tokens.begin() + range.skip;
    return Tokens(begin, begin + range.num_tokens);
  }
};

TEST_F(SentencePairTest, NextContinuesAndAnotherIsOfAnotherDocument) {
  std::vector<std::int32_t> starts;
  const auto dataset = make(DatasetKind::kText, counting_documents(400, 4, &starts));
  const auto document_of = [&](std::int32_t token) {
    return std::upper_bound(starts.begin(), starts.end(), token) - starts.begin() - 1;
  };
  for (const std::int64_t total : {5, 13, 29, 61}) {
    for (std::int64_t anchor = 0; anchor < dataset->num_sentences(); ++anchor) {
      if (is_alone(*dataset, anchor)) continue;
      const Texts texts = draw(*dataset, anchor, total, static_cast<std::uint64_t>(anchor));
      ASSERT_FALSE(texts.a.empty());
      ASSERT_FALSE(texts.b.empty());
      ASSERT_LE(static_cast<std::int64_t>(texts.a.size() + texts.b.size()), total);
      for (const Tokens* side : {&texts.a, &texts.b}) {  // a text is one run of one document
        ASSERT_EQ(side->back() - side->front() + 1, static_cast<std::int32_t>(side->size()));
        ASSERT_EQ(document_of(side->front()), document_of(side->back()));
      }
      if (texts.label == 0) {
        ASSERT_EQ(texts.b.front(), texts.a.back() + 1);
        ASSERT_EQ(document_of(texts.a.front()), document_of(texts.b.back()));
      } else {
        ASSERT_NE(document_of(texts.a.front()), document_of(texts.b.front()));
      }
    }
  }
}

// Labels are balanced for every place of the anchor in its document, the last among them.
TEST_F(SentencePairTest, LabelsAreBalancedWhereverTheAnchorStands) {
  const auto dataset = make(DatasetKind::kText, counting_documents(300, 3, nullptr));
  std::map<std::pair<std::int64_t, std::int64_t>, std::pair<int, int>> others;  // of all
  for (std::uint64_t stream = 0; stream < 20000; ++stream) {
    const std::int64_t anchor = static_cast<std::int64_t>(stream) % dataset->num_sentences();
    if (is_alone(*dataset, anchor)) continue;
    const Dataset::Document document = dataset->document_of(anchor);
    auto& [num_others, num_all] =
        others[{document.num_sentences, anchor - document.first_sentence}];
    num_others += draw(*dataset, anchor, 30, stream).label;
    ++num_all;
  }
  ASSERT_EQ(others.size(), 5U);  // places 0, 1 of 2; 0, 1, 2 of 3
  for (const auto& [place, counts] : others) {
    const double expected = counts.second / 2.0;
    EXPECT_NEAR(counts.first, expected, 4.5 * std::sqrt(expected / 2))
        << place.first << " sentences, anchor " << place.second;
  }
}

// A judge who sees the lengths of A and B only must not be able to tell the classes apart.
TEST_F(SentencePairTest, LengthsDoNotGiveTheLabelAway) {
  const auto dataset = make(DatasetKind::kText, counting_documents(600, 4, nullptr));
  constexpr int kNumFacts = 2;
  std::array<std::array<double, kNumFacts>, 2> sums{}, squares{};
  std::array<double, 2> counts{};
  for (std::uint64_t stream = 0; stream < 40000; ++stream) {
    const std::int64_t anchor = static_cast<std::int64_t>(stream) % dataset->num_sentences();
    if (is_alone(*dataset, anchor)) continue;
    const Texts texts = draw(*dataset, anchor, 30, stream);
    const std::array<double, kNumFacts> facts = {static_cast<double>(texts.a.size()),
                                                 static_cast<double>(texts.b.size())};
    ++counts[texts.label];
    for (int f = 0; f < kNumFacts; ++f) {
      sums[texts.label][f] += facts[f];
      squares[texts.label][f] += facts[f] * facts[f];
    }
  }
  for (int f = 0; f < kNumFacts; ++f) {
    double difference = 0, variance = 0;
    for (int label = 0; label < 2; ++label) {
      const double mean = sums[label][f] / counts[label];
      difference += label == 0 ? mean : -mean;
      variance += (squares[label][f] / counts[label] - mean * mean) / counts[label];
    }
    EXPECT_LT(std::abs(difference), 4.5 * std::sqrt(variance)) << "fact " << f;
  }
}

TEST_F(SentencePairTest, LastSentenceIsTheSecondText) {
  const auto dataset = make(DatasetKind::kText, {{.sentences = {{10, 11, 12}, {20, 21}, {30, 31}}},
                                                 {.sentences = {{40, 41}, {50, 51}}}});
  int seen = 0;
  for (std::uint64_t stream = 0; stream < 40; ++stream) {
    const Texts texts = draw(*dataset, 2, 30, stream);
    EXPECT_EQ(texts.a, (Tokens{20, 21}));
    if (texts.label == 0) {
      EXPECT_EQ(texts.b, (Tokens{30, 31}));
      ++seen;
    } else {
      EXPECT_EQ(texts.b, (Tokens{50, 51}));
    }
  }
  EXPECT_GT(seen, 5);
  EXPECT_LT(seen, 35);
}

TEST_F(SentencePairTest, LongTextsLoseTheirOuterEnds) {
  Tokens first(50), second(50);
  for (int i = 0; i < 50; ++i) {
    first[i] = 100 + i;
    second[i] = 150 + i;
  }
  const auto dataset = make(DatasetKind::kText, {{.sentences = {first, second}}});
  const Texts texts = draw(*dataset, 0, 30, 1);
  EXPECT_EQ(texts.a.back(), 149);
  EXPECT_EQ(texts.b.front(), 150);
  EXPECT_EQ(texts.a.size() + texts.b.size(), 30U);
  EXPECT_TRUE(texts.truncated);
}

// One document of two sentences has no other text to offer: every label is 0 then.
TEST_F(SentencePairTest, WithoutAnyOtherTextTheNextOneIsTaken) {
  const auto dataset = make(DatasetKind::kText, {{.sentences = {{10, 11}, {20, 21}}}});
  for (std::uint64_t stream = 0; stream < 20; ++stream) {
    const Texts texts = draw(*dataset, 1, 30, stream);
    EXPECT_EQ(texts.label, 0);
    EXPECT_EQ(texts.b, (Tokens{20, 21}));
  }
}

TEST_F(SentencePairTest, OneLongDocumentStillGivesBothLabels) {
  const auto dataset = make(DatasetKind::kText, {counting_documents(60, 60, nullptr).back()});
  int num_others = 0;
  for (std::uint64_t stream = 0; stream < 400; ++stream) {
    const Texts texts = draw(*dataset, static_cast<std::int64_t>(stream) % 60, 30, stream);
    num_others += texts.label;
    EXPECT_EQ(texts.label == 0, texts.b.front() == texts.a.back() + 1);
  }
  EXPECT_NEAR(num_others, 200, 45);
}

TEST_F(SentencePairTest, TheOnlySentenceOfADocumentHasNoPair) {
  const auto dataset = make(DatasetKind::kText,
                            {{.sentences = {{10, 11, 12}}}, {.sentences = {{20, 21}, {22, 23}}}});
  Draws draws(123, 1);
  EXPECT_FALSE(draw_labelled_pair(*dataset, 0, 30, draws).has_value());
  EXPECT_TRUE(draw_labelled_pair(*dataset, 1, 30, draws).has_value());
  SampleMaker maker(*dataset, {.kinds = {SampleKind::kNextSentence}, .max_tokens = 32});
  Sample sample;
  maker.make(0, {}, sample);
  EXPECT_EQ(sample.sequence_label, -1);
  EXPECT_EQ(sample.tokens.size(), 5U);  // [CLS] and [SEP] around the sentence
}

}  // namespace
}  // namespace polyphase
