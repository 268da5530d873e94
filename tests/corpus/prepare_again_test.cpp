// SPDX-License-Identifier: Apache-2.0
// A second run over the same data folder: nothing to do, something changed, or the first run was
// killed.
#include <set>

#include "base/error.hpp"
#include "corpus/prepare.hpp"
#include "io/shard.hpp"
#include "tests/corpus/prepare_fixture.hpp"

namespace polyphase {
namespace {

// Runs the first `num_stages` stages; of kTokenize only one rank of two, as if the other was
// killed.
class StoppedPrepareTest : public PrepareTest {
 protected:
  void prepare_until(const std::string& data, PrepareStage last) {
    Preparation a(recipe_, options(data, 0, 2)), b(recipe_, options(data, 1, 2));
    for (const PrepareStage stage : kPrepareStages) {
      if (stage > last) break;
      a.run_stage(stage);
      if (stage < PrepareStage::kTokenize) b.run_stage(stage);
    }
  }
};

TEST_F(PrepareTest, ASecondRunLeavesEveryFileAlone) {
  const PrepareSummary first = prepare("data")[0];
  const auto before = inodes_below("data");
  const PrepareSummary second = prepare("data", 2)[0];
  EXPECT_EQ(inodes_below("data"), before);
  EXPECT_FALSE(first.tokenizer_was_current);
  EXPECT_TRUE(second.tokenizer_was_current);
  EXPECT_EQ(second.num_units_current, second.num_units);
  EXPECT_EQ(second.num_tokens_made, 0);
  ASSERT_EQ(second.parts.size(), first.parts.size());
  EXPECT_EQ(second.parts[0].num_tokens, first.parts[0].num_tokens);
}

TEST_F(PrepareTest, OnlyTheShardsOfAChangedFileAreMadeAgain) {
  prepare("data");
  const auto before = inodes_below("data");
  folder_.write("topics-test.tsv", "a kettle that fell\tobject\na dog\tanimal\n");
  const PrepareSummary summary = prepare("data")[0];
  EXPECT_TRUE(summary.tokenizer_was_current);
  EXPECT_EQ(summary.num_units - summary.num_units_current, 1);
  std::set<std::string> changed;
  for (const auto& [name, inode] : inodes_below("data")) {
    if (before.at(name) != inode) changed.insert(name);
  }
  EXPECT_EQ(changed, (std::set<std::string>{"topics/corpus.json", "topics/parts/test-0000.json",
                                            "topics/test-0000.h5"}));
}

TEST_F(PrepareTest, AChangedTokenizerMakesEveryShardAgain) {
  prepare("data");
  recipe_.tokenizer.lowercase = true;
  const PrepareSummary summary = prepare("data")[0];
  EXPECT_FALSE(summary.tokenizer_was_current);
  EXPECT_EQ(summary.num_units_current, 0);
  prepare("fresh");
  EXPECT_EQ(bytes_below("data"), bytes_below("fresh"));
}

TEST_F(PrepareTest, ShardsOfARemovedSourceAreRemoved) {
  prepare("data");
  recipe_.corpora[1].test.clear();
  prepare("data");
  EXPECT_FALSE(exists("data/topics/test-0000.h5"));
  EXPECT_FALSE(exists("data/topics/parts/test-0000.json"));
  EXPECT_FALSE(read_corpus_index(folder_.path("data/topics/corpus.json")).splits.contains("test"));
}

TEST_F(PrepareTest, LostOrDamagedFilesAreMadeAgain) {
  prepare("data");
  const auto whole = bytes_below("data");
  for (const char* name : {"tokenizer.model", "tokenizer.json", "notes/corpus.json",
                           "notes/train-0001.h5", "tags/parts/train-0000.json"}) {
    std::filesystem::remove(folder_.path(std::string("data/") + name));
    prepare("data");
    EXPECT_EQ(bytes_below("data"), whole) << name << " lost";
    folder_.write(std::string("data/") + name, "{\"key\": 1");
    prepare("data");
    EXPECT_EQ(bytes_below("data"), whole) << name << " damaged";
  }
}

TEST_F(StoppedPrepareTest, AKilledRunGoesOnAndEndsWithTheSameBytes) {
  prepare("straight");
  prepare_until("data", PrepareStage::kTokenize);
  EXPECT_FALSE(exists("data/notes/corpus.json"));
  // What a rank that died while writing leaves: half a shard under its temporary name, and a shard
  // without a receipt.
  folder_.write("data/notes/train-0001.h5.new", "half a sh");
  int unmade = 0;
  while (exists(fmt::format("data/topics/parts/train-{:04}.json", unmade))) ++unmade;
  folder_.write(fmt::format("data/topics/train-{:04}.h5", unmade), "not from this run");
  folder_.write("data/tags/valid-0009.h5.new", "half a sh");
  const auto summaries = prepare("data", 2);
  EXPECT_EQ(summaries[0].num_units_current, summaries[0].num_units);
  EXPECT_LT(summaries[1].num_units_current, summaries[1].num_units);
  EXPECT_EQ(bytes_below("data"), bytes_below("straight"));
}

TEST_F(StoppedPrepareTest, NoIndexVouchesForShardsThatAreAboutToChange) {
  prepare("data");
  folder_.write("topics-valid.tsv", "a dog that waited\tanimal\n");
  prepare_until("data", PrepareStage::kTokenizer);
  EXPECT_FALSE(exists("data/topics/corpus.json"));
  EXPECT_TRUE(exists("data/notes/corpus.json"));
}

TEST_F(StoppedPrepareTest, ASourceThatChangesMeanwhileIsRefused) {
  Preparation preparation(recipe_, options("data"));
  preparation.run_stage(PrepareStage::kScan);
  preparation.run_stage(PrepareStage::kTokenizer);
  folder_.write("topics-valid.tsv", "a dog that waited\tanimal\na cat\tanimal\n");
  EXPECT_MENTIONS(fault_of<DataError>([&] { preparation.run_stage(PrepareStage::kTokenize); }),
                  "changed while its corpus was prepared");
  EXPECT_FALSE(exists("data/topics/valid-0000.h5"));
  EXPECT_FALSE(exists("data/topics/corpus.json"));
}

}  // namespace
}  // namespace polyphase
