// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/corpus_source.hpp"
#include "base/error.hpp"
#include "text/line_reader.hpp"

// One reader for every kind and format of corpus: it gives samples one at a time, whatever lies in
// the files.
namespace polyphase::text {

// Documents of more bytes, or sentences of more tokens, are not what a person meant.
inline constexpr std::int64_t kMaxDocumentBytes = std::int64_t{4} << 20;
inline constexpr std::int64_t kMaxSentenceTokens = 65536;

// What a person says of the files of a corpus.
struct SourceSettings {
  CorpusKind kind = CorpusKind::kText;
  CorpusFormat format = CorpusFormat::kText;
  TextLayout layout = TextLayout::kSentences;
  bool header = false;
  CorpusColumns columns;
  bool reads_score = false;  // where the columns name one: of training samples
};

// What the front of a file says of all its lines; the reader of a later part must be told.
struct SourceShape {
  int num_columns = 0;              // 0: not known yet
  int num_texts = 0;                // JSON lines: one text or two; 0: not known yet
  std::vector<std::string> header;  // names of the columns, when the first line gives them
};

// A document or sample, as its kind has it.
struct SourceSample {
  // Sentences of a document; one text or two; the words of a tagged sentence; question and context;
  // source and target.
  std::vector<std::string> texts;
  std::vector<std::string> labels;  // the class; classes, each once; one tag a word
  float value = 0;                  // regression; else the score, where the columns name one
  // Question answering: the answer's bytes [begin, end) of the context; equal: no answer.
  std::int64_t answer_begin = 0, answer_end = 0;
  std::string id;                        // of a question, as its file has it
  std::vector<std::string> answers;      // all that its file accepts; none where it has no answer
  std::int64_t line = 0;                 // where it begins
  std::vector<std::int64_t> word_lines;  // tagging: of every word

  void clear();
};

// Collects what is wrong with bad lines: the number, and the first few in words.
class BadLineList {
 public:
  static constexpr std::size_t kMaxKept = 10;
  void add(const std::string& fault);
  std::int64_t count() const { return count_; }
  const std::vector<std::string>& first() const { return first_; }

 private:
  std::int64_t count_ = 0;
  std::vector<std::string> first_;
};

// What a reader reads: one file, of parallel text two; or parts of them.
struct SourceInput {
  std::vector<FilePart> parts;
  SourceShape shape;
  std::vector<StreamingDigest*> digests;  // none, or one a file: gets every byte read
  BadLineList* bad_lines = nullptr;       // null: a bad line is thrown, and reading may go on
};

class SourceReader {
 public:
  SourceReader(const SourceReader&) = delete;
  SourceReader& operator=(const SourceReader&) = delete;
  virtual ~SourceReader() = default;

  // The next sample; false behind the last one. A line (or sample) that breaks the format is added
  // to the input's list of bad lines and left out; without a list it is thrown as BadLine. Throws
  // DataError for a file that cannot be read at all.
  bool next(SourceSample& sample);

  virtual std::int64_t end_offset(std::size_t file) const = 0;  // where reading stands
  virtual std::int64_t end_line() const = 0;
  virtual bool at_boundary() const { return true; }  // a part of the file may end here
  // Tagging: I- tags that continue no tag of their type; they are taken as they are.
  std::int64_t num_loose_inside() const { return num_loose_inside_; }
  const SourceShape& shape() const { return input_.shape; }
  std::string place(std::int64_t line) const;  // "file:line"

 protected:
  explicit SourceReader(SourceInput input) : input_(std::move(input)) {}

  // Reads one sample into the cleared `sample`. Throws BadLine when all its lines are behind.
  virtual bool read(SourceSample& sample) = 0;
  void report(const BadLine& bad);  // adds it to the list, or throws it on

  SourceInput input_;
  std::int64_t num_loose_inside_ = 0;
};

std::unique_ptr<SourceReader> open_source(const SourceSettings& settings, SourceInput input);

}  // namespace polyphase::text
