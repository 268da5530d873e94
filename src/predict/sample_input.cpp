// SPDX-License-Identifier: Apache-2.0
#include "predict/sample_input.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/error.hpp"
#include "text/source.hpp"

namespace polyphase {
namespace {

std::string_view without_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// What lies between separators, without blanks around it; empty pieces too.
std::vector<std::string> pieces_between(std::string_view line, char separator) {
  std::vector<std::string> pieces;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find(separator, begin), line.size());
    pieces.emplace_back(without_blanks(line.substr(begin, end - begin)));
    begin = end + 1;
  }
  return pieces;
}

class LineInput final : public SampleInput {
 public:
  LineInput(std::istream& stream, std::string name, CorpusKind kind, std::int64_t num_texts)
      : stream_(stream),
        name_(std::move(name)),
        kind_(kind),
        num_texts_(kind == CorpusKind::kQuestionAnswering ? 2 : num_texts) {}

  bool next(InputSample& sample) override {
    sample = {};
    if (!next_line()) return false;
    if (text::is_blank(line_)) return true;
    if (kind_ == CorpusKind::kTagging) {
      split_words(sample);
    } else {
      split_texts(sample);
    }
    return true;
  }

 private:
  std::string place() const { return fmt::format("{}:{}", name_, number_); }

  // The next line without its end. A line is bounded, so that a file without lines cannot fill the
  // memory.
  bool next_line() {
    line_.clear();
    ++number_;
    std::streambuf* bytes = stream_.rdbuf();
    const int end = std::char_traits<char>::eof();
    int byte = bytes->sbumpc();
    if (byte == end) return false;
    for (; byte != end && byte != '\n'; byte = bytes->sbumpc()) {
      line_.push_back(static_cast<char>(byte));
      if (static_cast<std::int64_t>(line_.size()) > text::kMaxLineBytes) {
        fail<DataError>("{}: a line of more than {} bytes; write one sample a line", place(),
                        text::kMaxLineBytes);
      }
    }
    if (line_.ends_with('\r')) line_.pop_back();
    if (number_ == 1 && line_.starts_with("\xEF\xBB\xBF")) line_.erase(0, 3);
    const std::size_t valid = text::valid_utf8_prefix(line_);
    if (valid < line_.size()) {
      fail<DataError>(
          "{}: byte {} of the line is not UTF-8 text; convert the input, for instance "
          "with iconv -t UTF-8",
          place(), valid + 1);
    }
    return true;
  }

  void split_words(InputSample& sample) const {
    if (line_.find('\t') != line_.npos) {
      fail<DataError>("{}: a tab; write the words of a sentence on one line, apart by blanks",
                      place());
    }
    for (std::string& word : pieces_between(line_, ' ')) {
      if (!word.empty()) sample.texts.push_back(std::move(word));
    }
  }

  void split_texts(InputSample& sample) const {
    sample.texts = pieces_between(line_, '\t');
    const auto found = static_cast<std::int64_t>(sample.texts.size());
    if (found == num_texts_) return;
    const bool question = kind_ == CorpusKind::kQuestionAnswering;
    fail<DataError>("{}: {} text{} between tabs; write {}", place(), found, found == 1 ? "" : "s",
                    question ? "a question, a tab, and its context"
                    : num_texts_ == 1
                        ? "one text a line, as the model was trained on"
                        : "two texts with a tab between, as the model was trained on");
  }

  std::istream& stream_;
  std::string name_;
  CorpusKind kind_;
  std::int64_t num_texts_;
  std::string line_;
  std::int64_t number_ = 0;  // of line_, from 1
};

class FileInput final : public SampleInput {
 public:
  FileInput(const std::string& path, CorpusKind kind, std::int64_t num_texts)
      : file_(path, std::ios::binary), lines_(file_, path, kind, num_texts) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) {
      fail<DataError>("{}: is a folder; give a text file", path);
    }
    if (!file_) fail<DataError>("{}: cannot be opened: {}", path, std::strerror(errno));
  }
  bool next(InputSample& sample) override { return lines_.next(sample); }

 private:
  std::ifstream file_;
  LineInput lines_;
};

class SquadInput final : public SampleInput {
 public:
  explicit SquadInput(const std::string& path)
      : reader_(text::open_source(
            {.kind = CorpusKind::kQuestionAnswering, .format = CorpusFormat::kSquad},
            {.parts = {{.path = path}}})) {}
  bool next(InputSample& sample) override {
    if (!reader_->next(source_)) return false;
    sample = {.texts = source_.texts, .id = source_.id, .answers = source_.answers};
    return true;
  }

 private:
  std::unique_ptr<text::SourceReader> reader_;
  text::SourceSample source_;
};

}  // namespace

std::unique_ptr<SampleInput> input_of_lines(std::istream& stream, const std::string& name,
                                            CorpusKind kind, std::int64_t num_texts) {
  return std::make_unique<LineInput>(stream, name, kind, num_texts);
}

std::unique_ptr<SampleInput> open_sample_input(const std::string& path, CorpusKind kind,
                                               std::int64_t num_texts) {
  if (kind == CorpusKind::kQuestionAnswering && path.ends_with(".json"))
    return std::make_unique<SquadInput>(path);
  return std::make_unique<FileInput>(path, kind, num_texts);
}

}  // namespace polyphase
