// SPDX-License-Identifier: Apache-2.0
#include "predict/text_samples.hpp"

#include <gtest/gtest.h>

#include "corpus/text_layout.hpp"

namespace polyphase {
namespace {

using Ids = std::vector<std::int32_t>;

// A piece a character, and one for the blank in front of a word.
text::Tokenizer characters() {
  bool given = false;
  return text::Tokenizer::train({.kind = "char", .vocab_size = 40}, [&](std::string& sentence) {
    sentence = "abcdefghijklmnopqrstuvwxyz é";
    return !std::exchange(given, true);
  });
}

SampleSettings settings_of(SampleKind kind, std::int64_t max_tokens) {
  return {.kinds = {kind}, .max_tokens = max_tokens};
}

Ids joined(const std::vector<Ids>& parts) {
  Ids all;
  for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(EncodeInput, TextsStandBetweenSpecialTokens) {
  const text::Tokenizer tokenizer = characters();
  const Ids a = tokenizer.encode("ab"), b = tokenizer.encode("cde");
  const auto settings = settings_of(SampleKind::kClassification, 16);
  const EncodedInput one = encode_input({.texts = {"ab"}}, tokenizer, settings);
  ASSERT_EQ(one.sequences.size(), 1U);
  EXPECT_EQ(one.sequences[0].tokens, joined({{text::kClsId}, a, {text::kSepId}}));
  EXPECT_EQ(one.sequences[0].ends, (Ids{static_cast<std::int32_t>(a.size()) + 2}));
  const EncodedInput two = encode_input({.texts = {"ab", "cde"}}, tokenizer, settings);
  EXPECT_EQ(two.sequences[0].tokens,
            joined({{text::kClsId}, a, {text::kSepId}, b, {text::kSepId}}));
  EXPECT_EQ(two.sequences[0].segments.front(), 0);
  EXPECT_EQ(two.sequences[0].segments.back(), 1);
  EXPECT_FALSE(two.too_long);
  const EncodedInput cut = encode_input({.texts = {"abcdefghijklmnopqrst"}}, tokenizer, settings);
  EXPECT_EQ(cut.sequences[0].tokens.size(), 16U);
  EXPECT_TRUE(cut.too_long);
}

TEST(EncodeInput, NothingOfAnEmptyLine) {
  const text::Tokenizer tokenizer = characters();
  for (const SampleKind kind : {SampleKind::kClassification, SampleKind::kTagging}) {
    EXPECT_TRUE(encode_input({}, tokenizer, settings_of(kind, 16)).sequences.empty());
  }
  // An ideographic blank is normalised away.
  const EncodedInput blank = encode_input({.texts = {"\xE3\x80\x80"}}, tokenizer,
                                          settings_of(SampleKind::kRegression, 16));
  EXPECT_TRUE(blank.sequences.empty());
}

TEST(EncodeInput, LongSentencesAreCutBetweenWordsAndEveryWordHasItsPlace) {
  const text::Tokenizer tokenizer = characters();
  const std::vector<std::string> words = {"ab", "cde", "f", "ghijklmnopqrstuvw", "x", "yz"};
  const EncodedInput encoded =
      encode_input({.texts = words}, tokenizer, settings_of(SampleKind::kTagging, 12));
  std::size_t num_words = 0;
  for (const Sample& sequence : encoded.sequences) {
    EXPECT_LE(sequence.tokens.size(), 12U);
    EXPECT_EQ(sequence.tokens.front(), text::kClsId);
    EXPECT_EQ(sequence.tokens.back(), text::kSepId);
    ASSERT_EQ(sequence.token_labels.size(), sequence.tokens.size());
    for (std::size_t i = 0; i < sequence.tokens.size(); ++i) {
      if (sequence.token_labels[i] < 0) continue;
      EXPECT_EQ(sequence.tokens[i], tokenizer.encode(words[num_words]).front());
      ++num_words;
    }
  }
  EXPECT_EQ(num_words, words.size());
  EXPECT_TRUE(encoded.too_long);  // 3 + 4 + 2 pieces; more than fit; 2 + 3 pieces
  EXPECT_EQ(encoded.sequences.size(), 3U);
  const EncodedInput fits =
      encode_input({.texts = {"ab", "cde", "f"}}, tokenizer, settings_of(SampleKind::kTagging, 12));
  EXPECT_EQ(fits.sequences.size(), 1U);
  EXPECT_FALSE(fits.too_long);
}

TEST(EncodeInput, WindowsCoverEveryTokenOfTheContextByHalves) {
  const text::Tokenizer tokenizer = characters();
  const std::string context = "abcdé fghij klmno pqrst uvwxyz";
  const EncodedInput encoded = encode_input({.texts = {"who", context}}, tokenizer,
                                            settings_of(SampleKind::kQuestionAnswering, 17));
  // [CLS] 4 [SEP] 10 [SEP]: windows of ten tokens, the next one five further on.
  ASSERT_EQ(encoded.bytes.size(), 31U);
  EXPECT_EQ(encoded.window_starts, (std::vector<std::int64_t>{0, 5, 10, 15, 20, 21}));
  EXPECT_EQ(encoded.window_place, 6);
  EXPECT_FALSE(encoded.too_long);
  const Ids ids = tokenizer.encode(context);
  for (std::size_t w = 0; w < encoded.sequences.size(); ++w) {
    const Sample& sequence = encoded.sequences[w];
    ASSERT_EQ(sequence.tokens.size(), 17U);
    const auto begin = sequence.tokens.begin() + encoded.window_place;
    EXPECT_EQ(Ids(begin, begin + 10), Ids(ids.begin() + encoded.window_starts[w],
                                          ids.begin() + encoded.window_starts[w] + 10));
    EXPECT_EQ(sequence.segments[5], 0);
    EXPECT_EQ(sequence.segments[6], 1);
  }
  // The token of "é", two bytes, and the last one.
  EXPECT_EQ(context.substr(encoded.bytes[5].begin, encoded.bytes[5].end - encoded.bytes[5].begin),
            "é");
  EXPECT_EQ(encoded.bytes.back().end, static_cast<std::int64_t>(context.size()));
}

TEST(EncodeInput, QuestionsLeaveHalfOfTheRoom) {
  const text::Tokenizer tokenizer = characters();
  const EncodedInput encoded = encode_input({.texts = {"abcdefghijklmnop", "xyz xyz"}}, tokenizer,
                                            settings_of(SampleKind::kQuestionAnswering, 13));
  EXPECT_TRUE(encoded.too_long);
  EXPECT_EQ(encoded.window_place, 7);
  for (const Sample& sequence : encoded.sequences) EXPECT_EQ(sequence.tokens.size(), 13U);
}

}  // namespace
}  // namespace polyphase
