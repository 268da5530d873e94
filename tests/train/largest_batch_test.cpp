// SPDX-License-Identifier: Apache-2.0
#include "train/largest_batch.hpp"

#include <gtest/gtest.h>

namespace polyphase {
namespace {

std::int64_t num_targets(const std::map<std::string, double>& objectives, bool whole_words) {
  recipe::Recipe recipe;
  recipe.model.max_tokens = 64;
  recipe::Phase phase;
  phase.objectives = objectives;
  phase.whole_words = whole_words;
  return static_cast<std::int64_t>(largest_batch(recipe, phase, 4, 0).target_rows_M.size());
}

TEST(LargestBatch, AShareOfTheTokensIsMasked) {
  EXPECT_EQ(num_targets({{"mlm", 1.0}}, false), round_up(4 * (10 + 1), kTargetRowMultiple));
  EXPECT_EQ(num_targets({{"nsp", 1.0}}, false), 0);
}

// A sequence may be one word, all of whose pieces are masked together.
TEST(LargestBatch, WholeWordsMayMaskEveryToken) {
  for (const auto& objectives : {std::map<std::string, double>{{"mlm", 1.0}},
                                 {{"mlm", 1.0}, {"nsp", 1.0}},
                                 {{"mlm", 1.0}, {"sop", 0.5}}})
    EXPECT_EQ(num_targets(objectives, true), round_up(4 * 64, kTargetRowMultiple));
}

// Of an encoder and decoder a prefix is the source; of a decoder it stands in its own sequence.
TEST(LargestBatch, PrefixesAreOfADecoderAlone) {
  recipe::Recipe recipe;
  recipe.model.max_tokens = 64;
  recipe::Phase phase;
  phase.objectives = {{"clm", 1.0}, {"prefix_lm", 1.0}};
  recipe.model.family = recipe::Family::kGpt;
  const Batch decoder = largest_batch(recipe, phase, 4, 0);
  EXPECT_EQ(decoder.prefixes_B.size(), 4U * 64);  // windows over documents of one token
  phase.objectives = {{"span", 1.0}, {"prefix_lm", 1.0}};
  recipe.model.family = recipe::Family::kT5;
  const Batch both = largest_batch(recipe, phase, 4, 0);
  EXPECT_TRUE(both.prefixes_B.empty());
  EXPECT_EQ(both.num_sequences(), 4);
  EXPECT_EQ(both.source.num_tokens(), 4 * 64);
  EXPECT_EQ(both.target_rows_M.size(), 4U * 64);
}

}  // namespace
}  // namespace polyphase
