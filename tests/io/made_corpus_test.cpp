// SPDX-License-Identifier: Apache-2.0
#include "io/made_corpus.hpp"

#include <gtest/gtest.h>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "tests/io/scratch_folder.hpp"

namespace polyphase {
namespace {

const std::vector<std::string> kGiven = {"ein Hund", "zwei \"Hunde\"", "drei"};

std::string lines_of(std::size_t count) {
  std::string lines;
  for (std::size_t i = 0; i < count; ++i)
    lines += to_line({.source = i == 1 ? " " : "a\ndog\\", .target = kGiven[i]});
  return lines;
}

class MadeCorpus : public testing::Test {
 protected:
  std::vector<std::int64_t> leading() const {
    std::size_t next = 0;
    return leading_pairs(scratch_ / kPairsFile, [next](std::string& text) mutable {
      if (next == kGiven.size()) return false;
      text = kGiven[next++];
      return true;
    });
  }
  void put(const std::string& bytes) const { put_bytes(scratch_ / kPairsFile, bytes); }

  ScratchFolder scratch_;
};

TEST_F(MadeCorpus, WhatIsWholeAndFitsTheGivenTextsStays) {
  EXPECT_TRUE(leading().empty());
  put(lines_of(3));
  const std::vector<std::int64_t> ends = leading();
  ASSERT_EQ(ends.size(), 3U);
  EXPECT_EQ(ends[1], static_cast<std::int64_t>(lines_of(2).size()));
  EXPECT_EQ(ends[2], static_cast<std::int64_t>(lines_of(3).size()));
  const std::string torn = lines_of(3);
  put(torn.substr(0, torn.size() - 1));  // whole JSON, but for its line end
  EXPECT_EQ(leading().size(), 2U);
  put(lines_of(1) + to_line({.source = "x", .target = "another"}) + lines_of(1));
  EXPECT_EQ(leading().size(), 1U);
  put(lines_of(1) + std::string(40, '\0') + "\n" + lines_of(1));
  EXPECT_EQ(leading().size(), 1U);
  put(lines_of(3) + lines_of(1));  // more than is given
  EXPECT_EQ(leading().size(), 3U);
}

TEST_F(MadeCorpus, IsSummedUp) {
  put(lines_of(3));
  const PairsSummary summary = sum_up_pairs(scratch_ / kPairsFile);
  EXPECT_EQ(summary.num_pairs, 3);
  EXPECT_EQ(summary.num_empty, 1);
  EXPECT_EQ(summary.digest, digest(lines_of(3)));
}

TEST_F(MadeCorpus, IsThereOnlyWithTheDigestOfItsText) {
  Lineage record = {.run = "r", .phase = "p", .seed = 3};
  record.generation = {{"beams", 4}};
  EXPECT_FALSE(read_made_corpus(scratch_.path()));
  put(lines_of(2));
  write_made_record(scratch_.path(), record);  // in the making
  EXPECT_EQ(read_made_record(scratch_.path())->generation.at("beams"), 4);
  EXPECT_FALSE(read_made_corpus(scratch_.path()));
  record.digest = digest(lines_of(2));
  write_made_record(scratch_.path(), record);
  EXPECT_EQ(read_made_corpus(scratch_.path())->phase, "p");
  put(lines_of(3));
  EXPECT_THROW(read_made_corpus(scratch_.path()), DataError);
  std::string unfinished = lines_of(3);  // its last line has no end
  unfinished.pop_back();
  put(unfinished);
  EXPECT_THROW(read_made_corpus(scratch_.path()), DataError);
  std::filesystem::remove(scratch_ / kPairsFile);
  EXPECT_FALSE(read_made_corpus(scratch_.path()));
  put_bytes(scratch_ / kMadeFile, "[");
  EXPECT_THROW(read_made_record(scratch_.path()), DataError);
}

}  // namespace
}  // namespace polyphase
