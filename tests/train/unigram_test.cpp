// SPDX-License-Identifier: Apache-2.0
#include "train/unigram.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "comm/session.hpp"
#include "tests/corpus/corpus_fixture.hpp"

namespace polyphase {
namespace {

class Unigram : public CorpusTest {};

TEST_F(Unigram, TheEntropyIsThatOfTheTokensFrequencies) {
  const auto dataset = make(
      DatasetKind::kText,
      {{.sentences = {{10, 11}, {10}}}, {.sentences = {{12, 10, 12, 10}}}, {.sentences = {{11}}}});
  // 10: 4 of 8 tokens; 11 and 12: 2 each.
  EXPECT_NEAR(unigram_entropy(*dataset, planning_communicator(1)), 1.5 * std::log(2.0), 1e-12);
}

}  // namespace
}  // namespace polyphase
