// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "text/readers.hpp"

namespace polyphase::text {
namespace {

class ParallelReader final : public SourceReader {
 public:
  explicit ParallelReader(SourceInput input)
      : SourceReader(std::move(input)),
        sources_(lines_of(input_, 0)),
        targets_(lines_of(input_, 1)) {}

  std::int64_t end_offset(std::size_t file) const override {
    return file == 0 ? sources_.offset() : targets_.offset();
  }
  std::int64_t end_line() const override { return sources_.line_number(); }

 protected:
  bool read(SourceSample& sample) override {
    std::optional<BadLine> bad;  // thrown when both lines are behind, or the files lose step
    std::string_view source, target;
    const bool has_source = take(sources_, source, bad);
    const bool has_target = take(targets_, target, bad);
    if (has_source != has_target) refuse_lengths();
    if (!has_source) return false;
    if (bad) throw *bad;
    sample.line = sources_.line_number();
    append(source, sources_, sample);
    append(target, targets_, sample);
    return true;
  }

 private:
  static bool take(LineReader& lines, std::string_view& line, std::optional<BadLine>& bad) {
    try {
      return lines.next(line);
    } catch (const BadLine& fault) {
      if (!bad) bad = fault;
      return true;
    }
  }

  static void append(std::string_view line, const LineReader& lines, SourceSample& sample) {
    const std::string_view text = trimmed(line);
    if (text.empty()) {
      fail<BadLine>("{}: empty line; write its text or remove the line from both files",
                    lines.place());
    }
    sample.texts.emplace_back(text);
  }

  [[noreturn]] void refuse_lengths() {
    for (LineReader* lines : {&sources_, &targets_}) {
      std::string_view line;
      std::optional<BadLine> ignored;
      while (take(*lines, line, ignored)) {
      }
    }
    fail<DataError>(
        "{} has {} lines, but {} has {}; line i of one must translate line i of the other",
        sources_.path(), sources_.line_number(), targets_.path(), targets_.line_number());
  }

  LineReader sources_, targets_;
};

}  // namespace

std::unique_ptr<SourceReader> open_parallel(SourceInput input) {
  return std::make_unique<ParallelReader>(std::move(input));
}

}  // namespace polyphase::text
