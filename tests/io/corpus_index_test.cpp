// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"
#include "io/shard.hpp"
#include "scratch_folder.hpp"

namespace polyphase {
namespace {

ShardSummary write_shard(const std::filesystem::path& path) {
  ShardHeader header;
  header.vocab_size = 30000;
  ShardWriter writer(path, header);
  writer.append({{0x4241, 0x4443, 0x4645}, {0, 1, 3}, {}, {}, 0});
  writer.append({{7}, {0, 1}, {}, {}, 0});
  return writer.finish();
}

CorpusIndex index_of(const ShardSummary& summary) {
  CorpusIndex index;
  index.name = "glosses";
  index.kind = "text";
  index.vocab_size = 8192;
  index.tokenizer_digest = "0123";
  index.source_digests = {{"glosses.txt", "89ab"}};
  index.label_names = {"noun.act", "größe"};
  index.splits["train"] = {summary};
  index.made = {{"phase", "back-translate"}};
  index.skipped["train"] = {.count = 12, .first = {"glosses.txt:3: no label"}};
  return index;
}

TEST(CorpusIndex, ComesBackAsWritten) {
  const ScratchFolder folder;
  ShardSummary summary = write_shard(folder / "s.h5");
  summary.num_bytes = 1234;
  summary.num_words = 345;
  summary.num_lines = 67;
  write_corpus_index(folder / "corpus.json", index_of(summary));
  const CorpusIndex index = read_corpus_index(folder / "corpus.json");
  EXPECT_EQ(index.name, "glosses");
  EXPECT_EQ(index.kind, "text");
  EXPECT_EQ(index.vocab_size, 8192);
  EXPECT_EQ(index.tokenizer_digest, "0123");
  EXPECT_EQ(index.source_digests.at("glosses.txt"), "89ab");
  EXPECT_EQ(index.label_names, (std::vector<std::string>{"noun.act", "größe"}));
  ASSERT_EQ(index.splits.at("train").size(), 1U);
  const ShardSummary& shard = index.splits.at("train")[0];
  EXPECT_EQ(shard.file, "s.h5");
  EXPECT_EQ(shard.num_tokens, summary.num_tokens);
  EXPECT_EQ(shard.max_document_tokens, summary.max_document_tokens);
  EXPECT_EQ(shard.digests, summary.digests);
  EXPECT_EQ(index, index_of(summary));
}

TEST(CorpusIndex, AnyChangeOfABlankIsSeen) {
  const ScratchFolder folder;
  ShardSummary summary;
  summary.file = "s.h5";
  write_corpus_index(folder / "corpus.json", index_of(summary));
  std::string bytes = bytes_of(folder / "corpus.json");
  bytes.insert(bytes.find("\"kind\""), " ");
  put_bytes(folder / "corpus.json", bytes);
  EXPECT_THROW(read_corpus_index(folder / "corpus.json"), DataError);
}

TEST(CorpusIndex, AShardOutsideTheFolderIsRefused) {
  const ScratchFolder folder;
  ShardSummary summary;
  summary.file = "../s.h5";
  write_corpus_index(folder / "corpus.json", index_of(summary));
  EXPECT_THROW(read_corpus_index(folder / "corpus.json"), DataError);
}

TEST(CorpusIndex, VerifyingACorpusNamesTheShardAndTheDataset) {
  const ScratchFolder folder;
  ShardSummary first = write_shard(folder / "train-0000.h5");
  CorpusIndex index = index_of(first);
  index.splits["valid"] = {write_shard(folder / "valid-0000.h5")};
  write_corpus_index(folder / "corpus.json", index);
  EXPECT_EQ(verify_corpus(folder.path()), std::vector<std::string>());
  flip_bit_at(folder / "valid-0000.h5", "ABCDEF");
  std::filesystem::remove(folder / "train-0000.h5");
  const std::vector<std::string> faults = verify_corpus(folder.path());
  ASSERT_EQ(faults.size(), 2U);
  EXPECT_TRUE(contains(faults[0], "train-0000.h5")) << faults[0];
  EXPECT_TRUE(contains(faults[1], "valid-0000.h5: /tokens was altered")) << faults[1];
}

}  // namespace
}  // namespace polyphase
