// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace polyphase {

// One shard of a prepared corpus, and what is in it.
struct ShardEntry {
  std::string file;  // in the corpus' folder, for instance train-0000.h5
  std::int64_t num_documents = 0, num_sentences = 0, num_tokens = 0;
  std::int64_t num_bytes = 0;  // of the file
};

// corpus.json: the completion marker of a prepared corpus, written last. Without it nothing in the
// folder is trusted.
struct CorpusManifest {
  std::string name;
  std::string kind;              // text, classification, tagging
  std::string tokenizer_digest;  // of the model that made the ids
  std::int64_t vocab_size = 0;
  std::vector<std::string>
      labels;  // sorted names; an id in a shard is an index into it. Empty for text
  std::map<std::string, std::vector<ShardEntry>>
      shards;          // by part: train, valid, test; in order, none empty
  std::string digest;  // of everything the shards were made from

  ShardEntry total(const std::string& part) const;  // sums over the part's shards; file is empty
};

// Reads DATA_DIR/CORPUS/corpus.json. Throws DataError when it is missing, damaged, or a shard it
// lists is absent or of another size.
CorpusManifest load_corpus_manifest(const std::string& data_dir, const std::string& corpus);

// Writes it, atomically.
void save_corpus_manifest(const std::string& data_dir, const CorpusManifest& manifest);

// Files of a data folder.
std::string tokenizer_path(const std::string& data_dir);
std::string corpus_path(const std::string& data_dir, const std::string& corpus);

}  // namespace polyphase
