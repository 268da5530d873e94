// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace polyphase {

// A shard is one HDF5 file of documents. A document is one or more sentences, a sentence one or
// more tokens, and all lie in one flat stream (io/FORMATS.md). Writers and readers belong to one
// thread each. HDF5 itself is entered only in ShardWriter::finish and in ShardReader's constructor,
// under the lock that io holds around every HDF5 call of the process; reads of documents are plain
// pread(2) and need no lock.

// On disk: raised with every change of the format; readers refuse other versions.
inline constexpr std::int64_t kShardFormatVersion = 1;

struct ShardHeader {
  std::string corpus;
  std::string split;            // train, valid or test
  std::int64_t vocab_size = 0;  // token ids are below; ≤ 65536 is stored as 16 bits, else 32
  std::string tokenizer_digest;
  std::string source_digest;
  bool has_document_labels = false;
  bool has_token_labels = false;
};

// A run of sentences: a document, or what read_sentences was asked for.
struct ShardText {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t>
      sentence_starts;  // sentences + 1, relative: the first is 0, the last tokens.size()
  std::vector<std::int32_t>
      token_labels;         // one a token, -1 for none; empty where the shard has none
  std::int32_t label = -1;  // class of the document; -1 for none
};

struct ShardSummary {
  std::string file;  // name, without folder
  std::int64_t num_documents = 0;
  std::int64_t num_sentences = 0;
  std::int64_t num_tokens = 0;
  std::int64_t max_document_tokens = 0;
  std::map<std::string, std::string> digests;  // dataset → XXH3-128 of its bytes in the file
};

// Collects documents of any number in bounded memory (through unnamed scratch files beside `path`).
class ShardWriter {
 public:
  ShardWriter(const std::filesystem::path& path, const ShardHeader& header);
  ~ShardWriter();  // without finish(): leaves nothing behind

  // Throws DataError for an empty document or sentence, for a token outside the vocabulary, and for
  // missing labels.
  void append(const ShardText& document);
  std::int64_t num_tokens() const;  // so far: lets the caller begin the next shard

  // Writes the HDF5 file beside `path`, syncs it, renames it to `path`. SystemError when the disk
  // is full; nothing new stands at
  // `path` then. DataError when no document was added.
  ShardSummary finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Opens a shard and trusts nothing in it. Throws DataError for a file that is truncated, of another
// format version, or holds anything but what a shard holds.
class ShardReader {
 public:
  explicit ShardReader(const std::filesystem::path& path);
  ~ShardReader();
  ShardReader(ShardReader&&) noexcept;

  const ShardHeader& header() const;
  std::int64_t num_documents() const;
  std::int64_t num_sentences() const;
  std::int64_t num_tokens() const;

  // Sentences [first, end) of document d.
  struct Range {
    std::int64_t first = 0, end = 0;
  };
  Range sentences_of(std::int64_t document);
  std::int64_t document_of(std::int64_t sentence);
  std::int64_t num_tokens_of(std::int64_t first_sentence, std::int64_t count = 1);

  // Fill `out`, whose memory is used again. Bounds of documents and sentences are cached in at most
  // 8 MiB a reader. DataError names file and position of a token outside the vocabulary or of
  // bounds that descend. read_sentences leaves out.label alone at -1, since sentences may lie in
  // several documents.
  void read_sentences(std::int64_t first_sentence, std::int64_t count, ShardText& out);
  void read_document(std::int64_t document, ShardText& out);
  std::int32_t document_label(std::int64_t document);  // -1 where the shard has none

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads a whole shard and returns its faults in words: a digest that differs from `summary`,
// counts, bounds, tokens. Empty when all is well.
std::vector<std::string> verify_shard(const std::filesystem::path& folder,
                                      const ShardSummary& summary);

// corpus.json: what a prepared corpus consists of.
struct CorpusIndex {
  std::string name;
  std::string kind;  // text, classification, tagging
  std::int64_t vocab_size = 0;
  std::string tokenizer_digest;
  std::map<std::string, std::string> source_digests;  // source file → digest of its bytes
  std::vector<std::string> label_names;               // classes or tags, by number
  std::map<std::string, std::vector<ShardSummary>> splits;
};

void write_corpus_index(const std::filesystem::path& path, const CorpusIndex& index);

// Throws DataError for another format version, missing fields or a digest of its own that does not
// hold.
CorpusIndex read_corpus_index(const std::filesystem::path& path);

}  // namespace polyphase
