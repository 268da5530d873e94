// SPDX-License-Identifier: Apache-2.0
#include "text/readers.hpp"

#include <utility>

#include "base/error.hpp"

namespace polyphase::text {
namespace {

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string_view> split(std::string_view line, char separator) {
  std::vector<std::string_view> columns;
  std::size_t start = 0;
  while (true) {
    const std::size_t end = line.find(separator, start);
    columns.push_back(line.substr(start, end == line.npos ? line.npos : end - start));
    if (end == line.npos) return columns;
    start = end + 1;
  }
}

// Columns between runs of blanks.
std::vector<std::string_view> split_at_blanks(std::string_view line) {
  std::vector<std::string_view> columns;
  std::size_t start = line.find_first_not_of(' ');
  while (start != line.npos) {
    const std::size_t end = line.find(' ', start);
    columns.push_back(line.substr(start, end == line.npos ? line.npos : end - start));
    start = end == line.npos ? line.npos : line.find_first_not_of(' ', end);
  }
  return columns;
}

}  // namespace

DocumentReader::DocumentReader(FilePart part, StreamingDigest* digest)
    : lines_(std::move(part), digest) {}

std::string DocumentReader::place() const {
  return fmt::format("{}:{}", lines_.path(), first_line_);
}

bool DocumentReader::next(std::vector<std::string>& sentences) {
  sentences.clear();
  std::int64_t num_bytes = 0;
  std::string_view line;
  while (lines_.next(line)) {
    if (is_blank(line)) {
      if (sentences.empty()) continue;
      at_boundary_ = true;
      return true;
    }
    if (sentences.empty()) first_line_ = lines_.line_number();
    sentences.emplace_back(trimmed(line));
    num_bytes += static_cast<std::int64_t>(line.size());
    if (num_bytes >= kMaxDocumentBytes) {
      at_boundary_ = false;
      return true;
    }
  }
  at_boundary_ = true;
  return !sentences.empty();
}

LabelledTextReader::LabelledTextReader(FilePart part, int num_columns, StreamingDigest* digest)
    : lines_(std::move(part), digest), num_columns_(num_columns) {}

bool LabelledTextReader::next(LabelledText& sample) {
  std::string_view line;
  if (!lines_.next(line)) return false;
  const std::vector<std::string_view> columns = split(line, '\t');
  const int found = static_cast<int>(columns.size());
  if (is_blank(line)) fail<DataError>("{}: empty line; remove it", place());
  if (num_columns_ == 0 && (found == 2 || found == 3)) num_columns_ = found;
  if (found != num_columns_) {
    fail<DataError>("{}: {} column{}, but {}; write text<TAB>label or text<TAB>text<TAB>label",
                    place(), found, found == 1 ? "" : "s",
                    num_columns_ == 0 ? std::string("2 or 3 are expected")
                                      : fmt::format("the file's first line has {}", num_columns_));
  }
  sample.texts.resize(columns.size() - 1);
  for (std::size_t i = 0; i + 1 < columns.size(); ++i) {
    sample.texts[i] = trimmed(columns[i]);
    if (sample.texts[i].empty()) {
      fail<DataError>("{}: empty sentence in column {}; write its text or remove the line", place(),
                      i + 1);
    }
  }
  sample.label = trimmed(columns.back());
  if (sample.label.empty()) {
    fail<DataError>("{}: no label behind the last tab; write one", place());
  }
  return true;
}

TaggedSentenceReader::TaggedSentenceReader(FilePart part, int num_columns, StreamingDigest* digest)
    : lines_(std::move(part), digest), num_columns_(num_columns) {}

std::string TaggedSentenceReader::place(std::int64_t token) const {
  return fmt::format("{}:{}", lines_.path(), first_line_ + token);
}

bool TaggedSentenceReader::next(TaggedSentence& sentence) {
  sentence.tokens.clear();
  sentence.tags.clear();
  std::string_view line;
  while (lines_.next(line)) {
    const bool at_start = sentence.tokens.empty();
    const bool comment = at_start && line.starts_with("# ") && line.find('\t') == line.npos;
    const bool document_mark = line.starts_with("-DOCSTART-");
    if (is_blank(line) || document_mark || comment) {
      if (at_start) continue;
      break;
    }
    if (at_start) first_line_ = lines_.line_number();
    append(line, sentence);
  }
  if (sentence.tokens.empty()) return false;
  count_loose_inside(sentence);
  return true;
}

void TaggedSentenceReader::append(std::string_view line, TaggedSentence& sentence) {
  const bool tabs = line.find('\t') != line.npos;
  const std::vector<std::string_view> columns = tabs ? split(line, '\t') : split_at_blanks(line);
  const int found = static_cast<int>(columns.size());
  if (found == 1) {
    fail<DataError>("{}: no label behind the token \"{}\"; write token<TAB>tag", lines_.place(),
                    trimmed(line));
  }
  if (num_columns_ == 0) num_columns_ = found;
  if (found != num_columns_) {
    fail<DataError>("{}: {} columns, but the file's first line has {}; write token<TAB>tag",
                    lines_.place(), found, num_columns_);
  }
  const std::string_view token = trimmed(columns.front());
  const std::string_view tag = trimmed(columns.back());
  if (token.empty()) fail<DataError>("{}: empty token; write token<TAB>tag", lines_.place());
  if (tag.empty()) {
    fail<DataError>("{}: no label behind the token \"{}\"; write token<TAB>tag", lines_.place(),
                    token);
  }
  sentence.tokens.emplace_back(token);
  sentence.tags.emplace_back(tag);
  if (static_cast<std::int64_t>(sentence.tokens.size()) > kMaxSentenceTokens) {
    fail<DataError>("{}:{}: sentence of more than {} tokens; put blank lines between sentences",
                    lines_.path(), first_line_, kMaxSentenceTokens);
  }
}

void TaggedSentenceReader::count_loose_inside(const TaggedSentence& sentence) {
  std::string open;  // type that an I- tag may continue
  for (const std::string& tag : sentence.tags) {
    const bool inside = tag.starts_with("I-");
    const std::string type = inside || tag.starts_with("B-") ? tag.substr(2) : "";
    if (inside && type != open) ++num_loose_inside_;
    open = type;
  }
}

}  // namespace polyphase::text
