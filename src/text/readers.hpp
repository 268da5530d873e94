// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/source.hpp"

// Private to text: the readers behind open_source().
namespace polyphase::text {

// A sentence a line, blank lines between documents. A document longer than kMaxDocumentBytes is
// given in several pieces, so that a book without blank lines needs no more memory than a page.
std::unique_ptr<SourceReader> open_sentences(SourceInput input);

// Every byte of the file: its lines with their ends, in documents of kMaxDocumentBytes.
std::unique_ptr<SourceReader> open_raw_text(SourceInput input);

// Rows of columns between tabs or, as RFC 4180 has it, commas.
std::unique_ptr<SourceReader> open_table(const SourceSettings& settings, SourceInput input);

// One JSON object a line.
std::unique_ptr<SourceReader> open_json_lines(const SourceSettings& settings, SourceInput input);

// CoNLL: a word a line, columns between tabs or blanks, blank lines between sentences; all lines
// have the same number of columns. Skipped: lines that start with -DOCSTART-, and "# comment" lines
// (no tab) in front of a sentence. CoNLL-U (universaldependencies.org): ten columns; comments,
// ranges of words (4-5) and empty nodes (8.1) are skipped.
std::unique_ptr<SourceReader> open_tagged(const SourceSettings& settings, SourceInput input);

// The running text of CoNLL-U: sentences in documents.
std::unique_ptr<SourceReader> open_treebank_text(SourceInput input);

// SQuAD, 1.1 or 2.0: one JSON object, read whole.
std::unique_ptr<SourceReader> open_squad(SourceInput input);

// Line i of the second file is made of line i of the first.
std::unique_ptr<SourceReader> open_parallel(SourceInput input);

// The text without blanks and tabs at its ends.
std::string_view trimmed(std::string_view text);

// Adds the lines of a text as sentences of the sample, but for blank ones.
void add_lines(std::string_view text, SourceSample& sample);

// What lies between separators, at least one.
std::vector<std::string_view> split(std::string_view line, char separator);

// Puts the label of a kind, as a file has it in one column, into `sample`: a class, a number, or
// classes between commas. Throws BadLine.
void set_label(CorpusKind kind, std::string_view label, const std::string& place,
               SourceSample& sample);

// A finite number; throws BadLine.
float number_of(std::string_view text, const std::string& place);

// I- tags that continue no B- or I- tag of their type.
std::int64_t count_loose_inside(const std::vector<std::string>& tags);

// A reader of lines for the input's file number `file`.
LineReader lines_of(const SourceInput& input, std::size_t file);

}  // namespace polyphase::text
