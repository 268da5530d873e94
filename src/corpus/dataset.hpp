// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/corpus_source.hpp"
#include "io/shard.hpp"

namespace polyphase {

using DatasetKind = CorpusKind;

// A shard and what it must hold; a file that holds anything else is refused when it is first
// opened.
struct DatasetShard {
  std::string path;
  std::int64_t num_documents = 0, num_sentences = 0, num_tokens = 0;
  std::int64_t num_bytes = 0, num_words = 0, num_lines = 0;  // of the text, as prepared
};

struct DatasetContents {
  std::string name;  // for messages, for instance "glosses (train)"
  DatasetKind kind = DatasetKind::kText;
  std::int64_t vocab_size = 0;
  std::vector<std::string> label_names;  // classes or tags, by number; else empty
  std::vector<DatasetShard> shards;      // in order
};

// Part of one document that a window over the stream of all documents holds.
struct WindowPiece {
  std::int64_t document = 0;
  std::int64_t first = 0;        // place of tokens.front() in the document
  bool begins_document = false;  // the window holds the row in front of the document
  bool ends_document = false;    // the window holds the row of the document's last token
  // Of the piece's rows, and one more behind them unless the document ends.
  std::vector<std::int32_t> tokens;
};

// One split of one prepared corpus. Sentences and documents are numbered through all shards. Memory
// is independent of the size of the corpus: two numbers a shard, and at most kMaxOpenShards open
// readers, whose caches are bounded. Calls may come from any thread, one at a time inside.
class Dataset {
 public:
  static constexpr std::size_t kMaxOpenShards = 32;  // of at most 12 MiB

  // Throws DataError when there are no samples.
  explicit Dataset(DatasetContents contents);

  DatasetKind kind() const { return contents_.kind; }
  const std::string& name() const { return contents_.name; }
  const std::vector<std::string>& label_names() const { return contents_.label_names; }
  std::int64_t vocab_size() const { return contents_.vocab_size; }
  std::int64_t num_documents() const { return first_documents_.back(); }
  std::int64_t num_sentences() const { return first_sentences_.back(); }
  std::int64_t num_tokens() const { return first_tokens_.back(); }

  // Of the text that the tokens were made from (io/FORMATS.md): for bits a byte and perplexities a
  // word. num_lines: of a raw text its line ends, else its sentences.
  std::int64_t num_bytes() const { return num_bytes_; }
  std::int64_t num_words() const { return num_words_; }
  std::int64_t num_lines() const { return num_lines_; }

  // Text: every sentence is the anchor of one sample. Labelled: every document is a sample.
  std::int64_t num_samples() const;
  // How long a sample counts for filters and curricula: the anchor sentence, or all texts of the
  // document; without special tokens and before anything is cut.
  std::int64_t num_tokens_of_sample(std::int64_t sample);
  // What the corpus' column of scores says of a training sample.
  double score_of_sample(std::int64_t sample);

  struct Document {
    std::int64_t number = 0;
    std::int64_t first_sentence = 0, num_sentences = 0;
  };
  Document document_of(std::int64_t sentence);  // the one that holds it

  // Tokens of `count` sentences in a row, all of one document.
  std::int64_t num_tokens_of(std::int64_t first_sentence, std::int64_t count = 1);

  // Fill `out`, whose memory is used again. The sentences must lie in one document.
  void read_sentences(std::int64_t first_sentence, std::int64_t count, ShardText& out);
  void read_document(std::int64_t document, ShardText& out);

  // The stream of a causal language model: in front of every document of n tokens stands one
  // virtual begin token, so that it takes 1 + n rows, and documents follow each other through all
  // shards. Row r of a document (0: its begin) is labelled with its token r; the last one has none.
  std::int64_t num_window_rows() const { return num_tokens() + num_documents(); }

  // Gives rows [first_row, first_row + count), cut at the documents' bounds: `pieces` gets one
  // entry a document, whose memory is used again. Any place costs about the same: a binary search,
  // then one read a piece.
  void read_window(std::int64_t first_row, std::int64_t count, std::vector<WindowPiece>& pieces);

 private:
  struct OpenShard {
    std::size_t number;
    ShardReader reader;
  };
  ShardReader& reader(std::size_t shard);
  std::size_t shard_of(const std::vector<std::int64_t>& firsts, std::int64_t place,
                       const char* what) const;
  void check(std::size_t shard, const ShardReader& reader) const;
  void read_piece(std::int64_t row, std::int64_t end_row, WindowPiece& piece);

  DatasetContents contents_;
  // Of every shard, shards + 1 sums from the left.
  std::vector<std::int64_t> first_documents_, first_sentences_, first_tokens_, first_rows_;
  std::int64_t num_bytes_ = 0, num_words_ = 0, num_lines_ = 0;
  std::mutex mutex_;
  std::list<OpenShard> open_;  // the one used last in front
  std::map<std::size_t, std::list<OpenShard>::iterator> open_by_number_;
};

// Opens one part (train, valid, test) of the corpus that `polyphase prepare` left in
// DATA_DIR/CORPUS. Throws DataError when the corpus is not prepared or has no such part.
std::shared_ptr<Dataset> open_dataset(const std::string& data_dir, const std::string& corpus,
                                      const std::string& part);

}  // namespace polyphase
