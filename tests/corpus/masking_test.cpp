// SPDX-License-Identifier: Apache-2.0
#include "corpus/masking.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

using Tokens = std::vector<std::int32_t>;

constexpr std::int64_t kVocabSize = 105;  // 100 that are not special

// Within four and a half standard deviations of a binomial count: a fair draw fails once in
// 150,000.
void expect_binomial(std::int64_t count, std::int64_t trials, double chance) {
  const double expected = static_cast<double>(trials) * chance;
  EXPECT_NEAR(static_cast<double>(count), expected, 4.5 * std::sqrt(expected * (1 - chance)));
}

TEST(Masking, SharesAreThoseOfBert) {
  std::int64_t num_masks = 0, num_kept = 0, num_random = 0, num_chosen = 0, num_tokens = 0;
  std::vector<int> drawn(kVocabSize, 0);
  Targets masked;
  for (std::uint64_t sample = 0; sample < 20000; ++sample) {
    Tokens tokens = {text::kClsId};
    for (int i = 0; i < 13; ++i) tokens.push_back(50);
    tokens.push_back(text::kSepId);
    Draws draws(77, sample);
    draw_masks(tokens, {.fraction = 0.15, .vocab_size = kVocabSize}, draws, masked);
    num_tokens += 13;
    num_chosen += static_cast<std::int64_t>(masked.positions.size());
    for (const std::int32_t position : masked.positions) {
      const std::int32_t token = tokens[position];
      if (token == text::kMaskId) {
        ++num_masks;
      } else if (token == 50) {
        ++num_kept;
      } else {
        ++num_random;
        ASSERT_GE(token, text::kNumSpecialIds);
        ASSERT_LT(token, kVocabSize);
        ++drawn[token];
      }
    }
  }
  // 1 or 2 of 13: less scattered than a binomial count.
  expect_binomial(num_chosen, num_tokens, 0.15);
  expect_binomial(num_masks, num_chosen, 0.8);
  expect_binomial(num_kept, num_chosen, 0.1 + 0.1 / 100);  // a random token may be the true one
  double chi_square = 0;
  const double expected = static_cast<double>(num_random) / 99;
  for (std::int32_t token = text::kNumSpecialIds; token < kVocabSize; ++token) {
    if (token != 50) chi_square += (drawn[token] - expected) * (drawn[token] - expected) / expected;
  }
  EXPECT_LT(chi_square, 147.0);  // 98 degrees of freedom: 0.999 quantile
}

TEST(Masking, EveryPositionIsChosenEquallyOften) {
  std::vector<int> counts(10, 0);
  Targets masked;
  for (std::uint64_t sample = 0; sample < 20000; ++sample) {
    Tokens tokens(10, 50);
    Draws draws(78, sample);
    draw_masks(tokens, {.fraction = 0.3, .vocab_size = kVocabSize}, draws, masked);
    ASSERT_EQ(masked.positions.size(), 3U);
    for (const std::int32_t position : masked.positions) ++counts[position];
  }
  for (const int count : counts) expect_binomial(count, 20000, 0.3);
}

TEST(Masking, SpecialTokensAreNeverChosenAndTheRestIsUntouched) {
  Targets masked;
  for (std::uint64_t sample = 0; sample < 200; ++sample) {
    const Tokens before = {2, 10, 1, 11, 12, 3, 13, 14, 3};
    Tokens after = before;
    Draws draws(79, sample);
    draw_masks(after, {.fraction = 0.5, .vocab_size = kVocabSize}, draws, masked);
    ASSERT_EQ(masked.positions.size(), masked.labels.size());
    ASSERT_GE(masked.positions.size(), 2U);
    std::size_t next = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const bool chosen =
          next < masked.positions.size() && masked.positions[next] == static_cast<std::int32_t>(i);
      if (chosen) {
        EXPECT_GE(before[i], text::kNumSpecialIds);
        EXPECT_EQ(masked.labels[next++], before[i]);
      } else {
        EXPECT_EQ(after[i], before[i]);
      }
    }
    EXPECT_EQ(next, masked.positions.size());
  }
}

TEST(Masking, AtLeastOneTokenIsChosenWhereThereIsAny) {
  Targets masked;
  for (std::uint64_t sample = 0; sample < 50; ++sample) {
    Tokens one = {2, 10, 3}, none = {2, 1, 3};
    Draws draws(80, sample);
    draw_masks(one, {.fraction = 0.15, .vocab_size = kVocabSize}, draws, masked);
    EXPECT_EQ(masked.positions, (Tokens{1}));
    draw_masks(none, {.fraction = 0.15, .vocab_size = kVocabSize}, draws, masked);
    EXPECT_TRUE(masked.positions.empty());
    EXPECT_EQ(none, (Tokens{2, 1, 3}));
  }
}

TEST(Masking, WholeWordsAreMaskedWithAllTheirPiecesOrNotAtAll) {
  std::vector<bool> begins_word(kVocabSize, true);
  begins_word[60] = begins_word[61] = false;  // pieces inside of a word
  Targets masked;
  std::int64_t num_chosen = 0;
  for (std::uint64_t sample = 0; sample < 2000; ++sample) {
    const Tokens before = {2, 50, 60, 61, 51, 60, 52, 53, 54, 60, 55, 56, 3};
    const std::vector<int> word = {-1, 0, 0, 0, 1, 1, 2, 3, 4, 4, 5, 6, -1};
    Tokens after = before;
    Draws draws(79, sample);
    draw_masks(after, {.fraction = 0.4, .vocab_size = kVocabSize, .begins_word = &begins_word},
               draws, masked);
    std::vector<int> chosen(7, 0);
    for (const std::int32_t position : masked.positions) ++chosen[word[position]];
    const std::vector<int> pieces = {3, 2, 1, 1, 2, 1, 1};
    for (std::size_t w = 0; w < pieces.size(); ++w)
      EXPECT_TRUE(chosen[w] == 0 || chosen[w] == pieces[w]) << "word " << w;
    num_chosen += static_cast<std::int64_t>(masked.positions.size());
  }
  // 4.4 of 11 tokens: never more than the number drawn, and seldom less.
  EXPECT_LE(num_chosen, 2000 * 5);
  EXPECT_GE(num_chosen, 2000 * 4);
}

}  // namespace
}  // namespace polyphase
