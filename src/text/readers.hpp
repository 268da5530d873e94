// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/line_reader.hpp"

// Streaming readers of the three kinds of text file. Each holds one document at a time and throws
// DataError with file:line at the first line that breaks the format (see LineReader for the faults
// of lines).
namespace polyphase::text {

// Documents of more bytes, or sentences of more tokens, are not what a person meant.
inline constexpr std::int64_t kMaxDocumentBytes = std::int64_t{4} << 20;
inline constexpr std::int64_t kMaxSentenceTokens = 65536;

// Plain text: one sentence a line, blank lines between documents. A document longer than
// kMaxDocumentBytes is given in several pieces, so that a book without blank lines needs no more
// memory than a page.
class DocumentReader {
 public:
  explicit DocumentReader(FilePart part, StreamingDigest* digest = nullptr);

  // The sentences of the next document, never none; false behind the last one.
  bool next(std::vector<std::string>& sentences);

  std::int64_t line_number() const { return first_line_; }     // of the document given last
  std::int64_t end_offset() const { return lines_.offset(); }  // where reading stands
  std::int64_t end_line() const { return lines_.line_number(); }
  bool at_boundary() const { return at_boundary_; }  // a part of the file may end here
  std::string place() const;

 private:
  LineReader lines_;
  std::int64_t first_line_ = 0;
  bool at_boundary_ = false;
};

struct LabelledText {
  std::vector<std::string> texts;  // one, or two of a pair
  std::string label;
};

// Classification: text<TAB>label or text<TAB>text<TAB>label, the same number of columns on every
// line, no header.
class LabelledTextReader {
 public:
  // `num_columns` is 2 or 3; 0: as the first line has it (a later part of a file must be told).
  explicit LabelledTextReader(FilePart part, int num_columns = 0,
                              StreamingDigest* digest = nullptr);

  bool next(LabelledText& sample);

  int num_columns() const { return num_columns_; }
  std::int64_t line_number() const { return lines_.line_number(); }
  std::int64_t end_offset() const { return lines_.offset(); }
  std::int64_t end_line() const { return lines_.line_number(); }
  std::string place() const { return lines_.place(); }

 private:
  LineReader lines_;
  int num_columns_;
};

struct TaggedSentence {
  std::vector<std::string> tokens;
  std::vector<std::string> tags;  // one a token
};

// Tagging (CoNLL): token and tag, a tab or blanks between them, one token a line, blank lines
// between sentences. With more columns the first is the token and the last the tag; all lines have
// the same number. Skipped: lines that start with -DOCSTART-, and "# comment" lines (no tab) in
// front of a sentence. The order of B- and I- tags is not enforced; num_loose_inside() counts the
// I- tags that continue nothing.
class TaggedSentenceReader {
 public:
  explicit TaggedSentenceReader(FilePart part, int num_columns = 0,
                                StreamingDigest* digest = nullptr);

  bool next(TaggedSentence& sentence);

  int num_columns() const { return num_columns_; }
  std::int64_t num_loose_inside() const { return num_loose_inside_; }
  std::int64_t line_number() const { return first_line_; }  // of the sentence given last
  std::int64_t end_offset() const { return lines_.offset(); }
  std::int64_t end_line() const { return lines_.line_number(); }
  std::string place(std::int64_t token) const;  // "file:line" of a token of that sentence

 private:
  void append(std::string_view line, TaggedSentence& sentence);
  void count_loose_inside(const TaggedSentence& sentence);

  LineReader lines_;
  int num_columns_;
  std::int64_t num_loose_inside_ = 0;
  std::int64_t first_line_ = 0;
};

}  // namespace polyphase::text
