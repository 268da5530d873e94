// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "base/error.hpp"
#include "corpus/dataset.hpp"

namespace polyphase {
namespace {

DatasetKind kind_of(const CorpusIndex& index) {
  if (const auto kind = kind_named(index.kind)) return *kind;
  fail<DataError>("corpus \"{}\" is of kind \"{}\", which this version does not know", index.name,
                  index.kind);
}

}  // namespace

std::shared_ptr<Dataset> open_dataset(const std::string& data_dir, const std::string& corpus,
                                      const std::string& part) {
  const std::filesystem::path folder = std::filesystem::path(data_dir) / corpus;
  const CorpusIndex index = read_corpus_index(folder / "corpus.json");
  const auto shards = index.splits.find(part);
  if (shards == index.splits.end() || shards->second.empty()) {
    fail<DataError>("corpus \"{}\" has no {} part; name its files in the recipe, then prepare",
                    corpus, part);
  }
  DatasetContents contents{.name = corpus + " (" + part + ")",
                           .kind = kind_of(index),
                           .vocab_size = index.vocab_size,
                           .label_names = index.label_names,
                           .shards = {}};
  for (const ShardSummary& shard : shards->second) {
    contents.shards.push_back({.path = (folder / shard.file).string(),
                               .num_documents = shard.num_documents,
                               .num_sentences = shard.num_sentences,
                               .num_tokens = shard.num_tokens,
                               .num_bytes = shard.num_bytes,
                               .num_words = shard.num_words,
                               .num_lines = shard.num_lines});
  }
  return std::make_shared<Dataset>(std::move(contents));
}

}  // namespace polyphase
