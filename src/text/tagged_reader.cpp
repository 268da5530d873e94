// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <optional>

#include "text/readers.hpp"

namespace polyphase::text {
namespace {

// Columns of CoNLL-U, from 0.
constexpr int kConlluColumns = 10, kConlluForm = 1;
constexpr std::pair<std::string_view, int> kConlluTags[] = {
    {"upos", 3}, {"xpos", 4}, {"feats", 5}, {"deprel", 7}};

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

// Reads lines up to the end of a sentence; a bad line makes the whole sentence bad.
class TaggedReader : public SourceReader {
 public:
  explicit TaggedReader(SourceInput input)
      : SourceReader(std::move(input)), lines_(lines_of(input_, 0)) {}

  std::int64_t end_offset(std::size_t) const override { return lines_.offset(); }
  std::int64_t end_line() const override { return lines_.line_number(); }

 protected:
  bool read(SourceSample& sentence) override {
    std::optional<BadLine> bad;
    bool begun = false;
    std::string_view line;
    while (true) {
      try {
        if (!lines_.next(line)) break;
        if (ends_sentence(line)) {
          if (begun) break;
          continue;
        }
        if (is_comment(line, begun)) continue;
        if (!begun) sentence.line = lines_.line_number();
        begun = true;
        if (!bad) append(line, sentence);
      } catch (const BadLine& fault) {
        begun = true;
        if (!bad) bad = fault;
      }
    }
    if (bad) throw *bad;
    if (sentence.texts.empty()) return begun ? read(sentence) : false;
    num_loose_inside_ += count_loose_inside(sentence.labels);
    return true;
  }

  virtual bool ends_sentence(std::string_view line) const { return is_blank(line); }
  virtual bool is_comment(std::string_view line, bool begun) const = 0;
  virtual void append(std::string_view line, SourceSample& sentence) = 0;

  void append_word(std::string_view word, std::string_view tag, SourceSample& sentence) {
    if (word.empty()) fail<BadLine>("{}: empty token; write token<TAB>tag", lines_.place());
    if (tag.empty()) {
      fail<BadLine>("{}: no label behind the token \"{}\"; write token<TAB>tag", lines_.place(),
                    word);
    }
    sentence.texts.emplace_back(word);
    sentence.labels.emplace_back(tag);
    sentence.word_lines.push_back(lines_.line_number());
    if (static_cast<std::int64_t>(sentence.texts.size()) > kMaxSentenceTokens) {
      fail<BadLine>("{}: sentence of more than {} tokens; put blank lines between sentences",
                    place(sentence.line), kMaxSentenceTokens);
    }
  }

  LineReader lines_;
};

class ConllReader final : public TaggedReader {
 public:
  ConllReader(const CorpusColumns& columns, SourceInput input)
      : TaggedReader(std::move(input)),
        token_(number_of(columns.token)),
        tag_(number_of(columns.tag)) {}

 protected:
  bool ends_sentence(std::string_view line) const override {
    return is_blank(line) || line.starts_with("-DOCSTART-");
  }
  bool is_comment(std::string_view line, bool begun) const override {
    return !begun && line.starts_with("# ") && line.find('\t') == line.npos;
  }

  void append(std::string_view line, SourceSample& sentence) override {
    const bool tabs = line.find('\t') != line.npos;
    const std::vector<std::string_view> columns = tabs ? split(line, '\t') : split_at_blanks(line);
    const int found = static_cast<int>(columns.size());
    if (found == 1) {
      fail<BadLine>("{}: no label behind the token \"{}\"; write token<TAB>tag", lines_.place(),
                    trimmed(line));
    }
    int& expected = input_.shape.num_columns;
    if (expected == 0) expected = found;
    if (found != expected) {
      fail<BadLine>("{}: {} columns, but the file's first line has {}; write token<TAB>tag",
                    lines_.place(), found, expected);
    }
    if (std::max(token_, tag_) >= found) {
      fail<BadLine>("{}: no column {} among {}; correct columns", lines_.place(),
                    std::max(token_, tag_) + 1, found);
    }
    const std::size_t tag = tag_ < 0 ? columns.size() - 1 : static_cast<std::size_t>(tag_);
    append_word(trimmed(columns[static_cast<std::size_t>(std::max(token_, 0))]),
                trimmed(columns[tag]), sentence);
  }

 private:
  // From 0; -1 where none is given.
  static int number_of(const std::string& column) {
    int number = 0;
    std::from_chars(column.data(), column.data() + column.size(), number);
    return number - 1;
  }

  int token_, tag_;
};

class ConlluReader final : public TaggedReader {
 public:
  ConlluReader(const CorpusColumns& columns, SourceInput input) : TaggedReader(std::move(input)) {
    for (const auto& [name, column] : kConlluTags) {
      if (columns.tag == name) tag_ = column;
    }
  }

 protected:
  bool is_comment(std::string_view line, bool) const override { return line.starts_with('#'); }

  void append(std::string_view line, SourceSample& sentence) override {
    const std::vector<std::string_view> columns = split(line, '\t');
    if (columns.size() != kConlluColumns) {
      fail<BadLine>("{}: {} column{} between tabs; CoNLL-U has {}", lines_.place(), columns.size(),
                    columns.size() == 1 ? "" : "s", kConlluColumns);
    }
    // Ranges such as 4-5 repeat words, and 8.1 is no word of the text.
    if (columns[0].find_first_of("-.") != std::string_view::npos) return;
    append_word(trimmed(columns[kConlluForm]), trimmed(columns[static_cast<std::size_t>(tag_)]),
                sentence);
  }

 private:
  int tag_ = kConlluTags[0].second;
};

}  // namespace

std::unique_ptr<SourceReader> open_tagged(const SourceSettings& settings, SourceInput input) {
  if (settings.format == CorpusFormat::kConllu) {
    return std::make_unique<ConlluReader>(settings.columns, std::move(input));
  }
  return std::make_unique<ConllReader>(settings.columns, std::move(input));
}

}  // namespace polyphase::text
