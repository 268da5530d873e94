// SPDX-License-Identifier: Apache-2.0
#include "text/readers.hpp"

namespace polyphase::text {
namespace {

class TextReader : public SourceReader {
 public:
  explicit TextReader(SourceInput input)
      : SourceReader(std::move(input)), lines_(lines_of(input_, 0)) {}

  std::int64_t end_offset(std::size_t) const override { return lines_.offset(); }
  std::int64_t end_line() const override { return lines_.line_number(); }

 protected:
  // Takes the next good line. A document loses only its bad lines.
  bool take(bool whole, std::string_view& line) {
    while (true) {
      try {
        return whole ? lines_.next_whole(line) : lines_.next(line);
      } catch (const BadLine& bad) {
        report(bad);
      }
    }
  }

  LineReader lines_;
};

class SentenceReader final : public TextReader {
 public:
  using TextReader::TextReader;
  bool at_boundary() const override { return at_boundary_; }

 protected:
  bool read(SourceSample& sample) override {
    std::int64_t num_bytes = 0;
    std::string_view line;
    while (take(false, line)) {
      if (is_blank(line)) {
        if (sample.texts.empty()) continue;
        at_boundary_ = true;
        return true;
      }
      if (sample.texts.empty()) sample.line = lines_.line_number();
      sample.texts.emplace_back(trimmed(line));
      num_bytes += static_cast<std::int64_t>(line.size());
      if (num_bytes >= kMaxDocumentBytes) {
        at_boundary_ = false;
        return true;
      }
    }
    at_boundary_ = true;
    return !sample.texts.empty();
  }

 private:
  bool at_boundary_ = false;
};

class RawReader final : public TextReader {
 public:
  using TextReader::TextReader;

 protected:
  bool read(SourceSample& sample) override {
    std::int64_t num_bytes = 0;
    std::string_view line;
    while (num_bytes < kMaxDocumentBytes && take(true, line)) {
      if (sample.texts.empty()) sample.line = lines_.line_number();
      sample.texts.emplace_back(line);
      num_bytes += static_cast<std::int64_t>(line.size());
    }
    return !sample.texts.empty();
  }
};

}  // namespace

void add_lines(std::string_view text, SourceSample& sample) {
  for (std::string_view line : split(text, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!is_blank(line)) sample.texts.emplace_back(trimmed(line));
  }
}

LineReader lines_of(const SourceInput& input, std::size_t file) {
  return LineReader(input.parts[file], input.digests.empty() ? nullptr : input.digests[file]);
}

std::unique_ptr<SourceReader> open_sentences(SourceInput input) {
  return std::make_unique<SentenceReader>(std::move(input));
}

std::unique_ptr<SourceReader> open_raw_text(SourceInput input) {
  return std::make_unique<RawReader>(std::move(input));
}

}  // namespace polyphase::text
