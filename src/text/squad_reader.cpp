// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>

#include "text/readers.hpp"

namespace polyphase::text {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 30;

// The file whole; the outline of JSON is checked by the parser, its UTF-8 too.
std::string read_whole(const SourceInput& input) {
  LineReader lines = lines_of(input, 0);
  if (lines.file_bytes() > kMaxFileBytes) {
    fail<DataError>("{}: {} bytes; a SQuAD file is read whole and may have {}: split it",
                    lines.path(), lines.file_bytes(), kMaxFileBytes);
  }
  std::string text;
  text.reserve(static_cast<std::size_t>(lines.file_bytes()));
  for (std::string_view line; lines.next_whole(line);) text += line;
  return text;
}

// The byte of `text` where its character number `character` begins; npos behind the end.
std::size_t byte_of(std::string_view text, std::int64_t character) {
  if (character < 0) return text.npos;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const bool begins = i == text.size() || (static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U;
    if (begins && character-- == 0) return i;
  }
  return text.npos;
}

bool has_list(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() && found->is_array();
}

class SquadReader final : public SourceReader {
 public:
  explicit SquadReader(SourceInput input)
      : SourceReader(std::move(input)), text_(read_whole(input_)) {
    try {
      file_ = Json::parse(text_);
    } catch (const Json::exception& error) {
      fail<DataError>("{}: not a SQuAD file ({}); it is one object with the list \"data\"",
                      input_.parts[0].path, error.what());
    }
    if (!has_list(file_, "data")) {
      fail<DataError>("{}: not a SQuAD file; it is one object with the list \"data\"",
                      input_.parts[0].path);
    }
    articles_ = &file_["data"];
  }

  std::int64_t end_offset(std::size_t) const override {
    return done_ ? static_cast<std::int64_t>(text_.size()) : 0;
  }
  std::int64_t end_line() const override { return 0; }

 protected:
  bool read(SourceSample& sample) override {
    try {
      if (!advance()) return false;
      const Json& question = paragraph().at("qas").at(question_++);
      locate(question);
      fill(paragraph().at("context"), question, sample);
    } catch (const Json::exception& error) {
      fail<BadLine>("{}: article {}, paragraph {}: {}; write it as SQuAD does", place(line_),
                    article_ + 1, paragraph_ + 1, error.what());
    }
    return true;
  }

 private:
  const Json& paragraph() const { return articles_->at(article_).at("paragraphs").at(paragraph_); }

  // Moves to the next question; false behind the last one. A member that is missing is skipped
  // before it is told.
  bool advance() {
    for (; article_ < articles_->size(); ++article_, paragraph_ = question_ = 0) {
      const Json& article = (*articles_)[article_];
      if (!has_list(article, "paragraphs")) {
        const std::size_t number = ++article_;
        paragraph_ = question_ = 0;
        fail<BadLine>("{}: article {} has no list \"paragraphs\"; write it as SQuAD does",
                      place(line_), number);
      }
      for (; paragraph_ < article["paragraphs"].size(); ++paragraph_, question_ = 0) {
        const Json& here = article["paragraphs"].at(paragraph_);
        if (!has_list(here, "qas")) {
          const std::size_t number = ++paragraph_;
          question_ = 0;
          fail<BadLine>(
              "{}: paragraph {} of article {} has no list \"qas\"; write it as SQuAD does",
              place(line_), number, article_ + 1);
        }
        if (question_ < here["qas"].size()) return true;
      }
    }
    done_ = true;
    return false;
  }

  // Moves to the line of the question's id. Questions come in the order of the file, so that the
  // whole file is searched once; an id that is written with escapes leaves the line before it.
  void locate(const Json& question) {
    const auto id = question.is_object() ? question.find("id") : question.end();
    if (!question.is_object() || id == question.end() || !id->is_string()) return;
    const std::size_t at = text_.find(fmt::format("\"{}\"", id->get<std::string>()), located_);
    if (at == text_.npos) return;
    line_ += std::count(text_.begin() + static_cast<std::ptrdiff_t>(located_),
                        text_.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    located_ = at;
  }

  void fill(const Json& context, const Json& question, SourceSample& sample) const {
    sample.texts = {question.at("question").get<std::string>(), context.get<std::string>()};
    sample.line = line_;
    for (const std::string& text : sample.texts) {
      if (trimmed(text).empty() || valid_utf8_prefix(text) != text.size()) {
        fail<BadLine>("{}: an empty question or context, or one with a NUL character",
                      place(line_));
      }
    }
    const auto id = question.find("id");
    if (id != question.end() && id->is_string()) sample.id = id->get<std::string>();
    const auto answers = question.find("answers");
    const bool impossible = question.value("is_impossible", false);
    if (impossible || answers == question.end() || answers->empty()) return;
    const Json& answer = answers->at(0);
    const std::string text = answer.at("text").get<std::string>();
    const auto start = answer.at("answer_start").get<std::int64_t>();
    const std::size_t begin = byte_of(sample.texts[1], start);
    if (text.empty() || begin == text.npos ||
        sample.texts[1].compare(begin, text.size(), text) != 0) {
      fail<BadLine>("{}: the answer \"{}\" does not stand at character {} of its context",
                    place(line_), text, start);
    }
    for (const Json& each : *answers) sample.answers.push_back(each.at("text").get<std::string>());
    sample.answer_begin = static_cast<std::int64_t>(begin);
    sample.answer_end = sample.answer_begin + static_cast<std::int64_t>(text.size());
  }

  std::string text_;
  Json file_;
  const Json* articles_ = nullptr;
  std::size_t article_ = 0, paragraph_ = 0, question_ = 0;
  bool done_ = false;
  std::size_t located_ = 0;  // byte of the text that is on line_
  std::int64_t line_ = 1;    // of the question at hand
};

}  // namespace

std::unique_ptr<SourceReader> open_squad(SourceInput input) {
  return std::make_unique<SquadReader>(std::move(input));
}

}  // namespace polyphase::text
