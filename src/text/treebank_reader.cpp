// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <optional>

#include "text/readers.hpp"

namespace polyphase::text {
namespace {

constexpr std::size_t kNumColumns = 10, kForm = 1, kMisc = 9;

bool has_no_space_after(std::string_view misc) {
  for (const std::string_view item : split(misc, '|')) {
    if (item == "SpaceAfter=No") return true;
  }
  return false;
}

// A sentence of a treebank as running text: what its comment "# text =" says, else its words.
class Sentence {
 public:
  bool begins_document = false;
  std::int64_t first_byte = 0, line = 0;  // of its first comment or word
  bool has_words = false;

  void add_comment(std::string_view comment) {
    comment = trimmed(comment.substr(1));
    if (comment == "newdoc" || comment.starts_with("newdoc ")) begins_document = true;
    if (!comment.starts_with("text ") && !comment.starts_with("text=")) return;
    const std::string_view rest = trimmed(comment.substr(4));
    if (rest.starts_with('=')) text_ = trimmed(rest.substr(1));
  }

  // A word that is written as a part of another (a range such as 4-5 stands in front of its parts),
  // or that is not written at all (8.1), adds nothing.
  void add_word(std::string_view line, const std::string& place) {
    has_words = true;
    const std::vector<std::string_view> columns = split(line, '\t');
    if (columns.size() != kNumColumns) {
      fail<BadLine>("{}: {} column{} between tabs; CoNLL-U has {}", place, columns.size(),
                    columns.size() == 1 ? "" : "s", kNumColumns);
    }
    const std::string_view id = columns[0];
    if (id.find('.') != id.npos) return;
    int number = 0;
    std::from_chars(id.data(), id.data() + id.size(), number);
    if (number > 0 && number <= last_of_range_) return;
    if (const std::size_t dash = id.find('-'); dash != id.npos)
      std::from_chars(id.data() + dash + 1, id.data() + id.size(), last_of_range_);
    if (!words_.empty() && space_) words_ += ' ';
    words_ += trimmed(columns[kForm]);
    space_ = !has_no_space_after(columns[kMisc]);
  }

  const std::string& text() const { return text_.empty() ? words_ : text_; }

 private:
  std::string text_, words_;
  bool space_ = true;
  int last_of_range_ = 0;
};

// Documents begin at "# newdoc" comments; in a file without them every sentence is a document. As
// in other texts, one of more than kMaxDocumentBytes is given in pieces, and bad lines cost their
// sentence only.
class TreebankTextReader final : public SourceReader {
 public:
  explicit TreebankTextReader(SourceInput input)
      : SourceReader(std::move(input)), lines_(lines_of(input_, 0)) {}

  std::int64_t end_offset(std::size_t) const override {
    return next_ ? next_->first_byte : lines_.offset();
  }
  std::int64_t end_line() const override { return next_ ? next_->line - 1 : lines_.line_number(); }
  bool at_boundary() const override { return !goes_on_; }

 protected:
  bool read(SourceSample& sample) override {
    std::size_t num_bytes = 0;
    while (next_ || (next_ = read_sentence())) {
      if (next_->begins_document && !sample.texts.empty()) break;
      if (sample.texts.empty()) sample.line = next_->line;
      const bool in_document = goes_on_ || next_->begins_document;
      num_bytes += next_->text().size();
      sample.texts.push_back(next_->text());
      next_.reset();
      goes_on_ = in_document;
      if (!in_document) return true;
      if (num_bytes >= static_cast<std::size_t>(kMaxDocumentBytes)) {
        next_ = read_sentence();
        goes_on_ = next_ && !next_->begins_document;
        return true;
      }
    }
    goes_on_ = false;
    return !sample.texts.empty();
  }

 private:
  // The next good sentence.
  std::optional<Sentence> read_sentence() {
    while (true) {
      std::optional<BadLine> bad;
      std::optional<Sentence> sentence = read_lines(bad);
      if (!bad && sentence && sentence->text().empty())
        bad.emplace(fmt::format("{}: a sentence without text", place(sentence->line)));
      if (!bad) return sentence;
      report(*bad);
    }
  }

  // Reads to the end of a sentence, whatever its lines are; nothing behind the last one.
  std::optional<Sentence> read_lines(std::optional<BadLine>& bad) {
    Sentence sentence;
    std::string_view line;
    while (true) {
      const std::int64_t first_byte = lines_.offset();
      try {
        if (!lines_.next(line)) break;
        if (is_blank(line)) {
          if (sentence.has_words) return sentence;
          continue;
        }
        if (sentence.line == 0) {
          sentence.first_byte = first_byte;
          sentence.line = lines_.line_number();
        }
        if (line.starts_with('#')) {
          sentence.add_comment(line);
        } else {
          sentence.add_word(line, lines_.place());
        }
      } catch (const BadLine& fault) {
        if (!bad) bad = fault;
      }
    }
    return sentence.has_words ? std::optional(sentence) : std::nullopt;
  }

  LineReader lines_;
  std::optional<Sentence> next_;  // read, but not given yet
  bool goes_on_ = false;          // the document that was begun has not ended
};

}  // namespace

std::unique_ptr<SourceReader> open_treebank_text(SourceInput input) {
  return std::make_unique<TreebankTextReader>(std::move(input));
}

}  // namespace polyphase::text
