// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tests/corpus/corpus_fixture.hpp"

namespace polyphase {
namespace {

class OpenDatasetTest : public CorpusTest {};

TEST_F(OpenDatasetTest, PartOfAPreparedCorpusIsFoundByItsIndex) {
  const DatasetShard shard =
      write_shard(DatasetKind::kClassification, {{.sentences = {{10, 11}, {12}}, .label = 1}});
  ShardSummary summary;
  summary.file = std::filesystem::path(shard.path).filename().string();
  summary.num_documents = shard.num_documents;
  summary.num_sentences = shard.num_sentences;
  summary.num_tokens = shard.num_tokens;
  summary.num_bytes = 70;
  summary.num_words = 12;
  summary.num_lines = 2;
  CorpusIndex index;
  index.name = folder_.filename().string();
  index.kind = "classification";
  index.vocab_size = kVocabSize;
  index.label_names = {"x", "y"};
  index.splits["train"] = {summary};
  write_corpus_index(folder_ / "corpus.json", index);

  const std::string data_dir = folder_.parent_path().string();
  const auto dataset = open_dataset(data_dir, index.name, "train");
  EXPECT_EQ(dataset->kind(), DatasetKind::kClassification);
  EXPECT_EQ(dataset->num_samples(), 1);
  EXPECT_EQ(dataset->num_tokens(), 3);
  EXPECT_EQ(dataset->label_names(), index.label_names);
  ShardText text;
  dataset->read_document(0, text);
  EXPECT_EQ(text.tokens, (std::vector<std::int32_t>{10, 11, 12}));
  EXPECT_EQ(text.labels, (std::vector<std::int32_t>{1}));
  EXPECT_EQ(dataset->num_bytes(), 70);
  EXPECT_EQ(dataset->num_words(), 12);
  EXPECT_EQ(dataset->num_lines(), 2);
  EXPECT_THROW(open_dataset(data_dir, index.name, "test"), DataError);
  EXPECT_THROW(open_dataset(data_dir, index.name + "-absent", "train"), Error);
}

TEST_F(OpenDatasetTest, CorpusWithoutSamplesIsRefused) {
  EXPECT_THROW(dataset_of(DatasetKind::kText, {}), DataError);
}

}  // namespace
}  // namespace polyphase
