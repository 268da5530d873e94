// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace polyphase {

// A shard is one HDF5 file of documents. A document is one or more sentences, a sentence one or
// more tokens, and all lie in one flat stream (io/FORMATS.md). Writers and readers belong to one
// thread each. HDF5 itself is entered only in ShardWriter::finish, under the lock that io holds
// around every HDF5 call of the process: a reader does without, and reads of documents are plain
// pread(2) and need no lock.

// On disk: raised with every change of the format; readers refuse other versions.
inline constexpr std::int64_t kShardFormatVersion = 2;

struct ShardHeader {
  std::string corpus;
  std::string split;            // train, valid or test
  std::int64_t vocab_size = 0;  // token ids are below; ≤ 65536 is stored as 16 bits, else 32
  std::string tokenizer_digest;
  std::string source_digest;
  bool has_labels = false;        // any number of whole numbers a document
  bool has_values = false;        // one real number a document
  bool has_token_labels = false;  // one whole number a token
};

// A run of sentences: a document, or what read_sentences was asked for.
struct ShardText {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t>
      sentence_starts;  // sentences + 1, relative: the first is 0, the last tokens.size()
  std::vector<std::int32_t>
      token_labels;  // one a token, -1 for none; empty where the shard has none
  // Of the whole document, what its kind says: one class; any number of classes in rising order;
  // the first and last token of an answer, within the document, or none. Empty where the shard has
  // none.
  std::vector<std::int32_t> labels;
  float value = 0;  // of the whole document (regression); 0 where the shard has none
};

struct ShardSummary {
  std::string file;  // name, without folder
  std::int64_t num_documents = 0;
  std::int64_t num_sentences = 0;
  std::int64_t num_tokens = 0;
  std::int64_t max_document_tokens = 0;
  // Of the text that the tokens were made from, as whoever prepared it counts (corpus.json in
  // io/FORMATS.md); the writer leaves them at 0.
  std::int64_t num_bytes = 0, num_words = 0, num_lines = 0;
  std::map<std::string, std::string> digests;  // dataset → XXH3-128 of its bytes in the file

  bool operator==(const ShardSummary&) const = default;
};

// Collects documents of any number in bounded memory (through unnamed scratch files beside `path`).
class ShardWriter {
 public:
  ShardWriter(const std::filesystem::path& path, const ShardHeader& header);
  ~ShardWriter();  // without finish(): leaves nothing behind

  // Throws DataError for an empty document or sentence, for a token outside the vocabulary, and for
  // missing labels, or labels below 0.
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
  // 12 MiB a reader. DataError names file and position of a token outside the vocabulary or of
  // bounds that descend. read_sentences gives neither labels nor a value, since sentences may lie
  // in several documents.
  void read_sentences(std::int64_t first_sentence, std::int64_t count, ShardText& out);
  void read_document(std::int64_t document, ShardText& out);

  // The flat stream: the place of a document's first token (of num_documents(): the stream's end),
  // and `count` tokens from `first` on, wherever documents begin.
  std::int64_t first_token_of(std::int64_t document);
  void read_tokens(std::int64_t first, std::int64_t count, std::vector<std::int32_t>& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads a whole shard and returns its faults in words: a digest that differs from `summary`,
// counts, bounds, tokens. Empty when all is well.
std::vector<std::string> verify_shard(const std::filesystem::path& folder,
                                      const ShardSummary& summary);

// Lines of the sources that were left out because they break the format (bad_lines: skip).
struct SkippedLines {
  std::int64_t count = 0;
  std::vector<std::string> first;  // what is wrong with the first of them, each with file:line

  bool operator==(const SkippedLines&) const = default;
};

// corpus.json: what a prepared corpus consists of.
struct CorpusIndex {
  std::string name;
  std::string kind;    // a name of base/corpus_source.hpp
  std::string layout;  // text corpora: sentences or raw; else ""
  std::int64_t vocab_size = 0;
  std::string tokenizer_digest;
  std::map<std::string, std::string> source_digests;  // source file → digest of its bytes
  std::vector<std::string> label_names;               // classes or tags, by number
  std::map<std::string, std::vector<ShardSummary>> splits;
  std::map<std::string, SkippedLines> skipped;  // split → what was left out; only where some was
  nlohmann::json made;  // the Lineage of a corpus that a phase made; else null

  bool operator==(const CorpusIndex&) const = default;
};

void write_corpus_index(const std::filesystem::path& path, const CorpusIndex& index);

// Throws DataError for another format version, missing fields or a digest of its own that does not
// hold.
CorpusIndex read_corpus_index(const std::filesystem::path& path);

// Reads every shard of the prepared corpus in `folder` and returns all faults in words. Throws what
// read_corpus_index() throws.
std::vector<std::string> verify_corpus(const std::filesystem::path& folder);

}  // namespace polyphase
