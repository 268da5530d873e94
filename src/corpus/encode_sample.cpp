// SPDX-License-Identifier: Apache-2.0
#include "corpus/encode_sample.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace polyphase::prepare {
namespace {

void append_sentence(const std::vector<std::int32_t>& ids, ShardText& document) {
  document.tokens.insert(document.tokens.end(), ids.begin(), ids.end());
  document.sentence_starts.push_back(static_cast<std::int64_t>(document.tokens.size()));
}

void clear(ShardText& document) {
  document.tokens.clear();
  document.sentence_starts.assign(1, 0);
  document.token_labels.clear();
  document.labels.clear();
  document.value = 0;
}

std::int64_t num_words_of(const std::string& text) {
  std::int64_t num_words = 0;
  bool within = false;
  for (const char c : text) {
    const bool blank = c == ' ' || (c >= '\t' && c <= '\r');
    if (!blank && !within) ++num_words;
    within = !blank;
  }
  return num_words;
}

}  // namespace

bool SampleEncoder::encode(const text::SourceSample& sample, const text::SourceReader& reader,
                           ShardText& document, TextCounts& counts) const {
  clear(document);
  counts = {};
  const std::string place = reader.place(sample.line);
  if (settings_.kind == CorpusKind::kText) {
    encode_sentences(sample, document, counts);
    return !document.tokens.empty();
  }
  switch (settings_.kind) {
    case CorpusKind::kTagging:
      encode_words(sample, reader, document);
      break;
    case CorpusKind::kQuestionAnswering:
      encode_question(sample, place, document);
      break;
    default:
      encode_texts(sample, place, document);
  }
  for (const std::string& text : sample.texts) {
    counts.num_bytes += static_cast<std::int64_t>(text.size());
    counts.num_words += num_words_of(text);
  }
  counts.num_lines = static_cast<std::int64_t>(document.sentence_starts.size()) - 1;
  return true;
}

void SampleEncoder::encode_sentences(const text::SourceSample& sample, ShardText& document,
                                     TextCounts& counts) const {
  const bool raw = settings_.layout == TextLayout::kRaw;
  for (const std::string& sentence : sample.texts) {
    const auto ids = tokenizer_.encode(sentence);
    if (ids.empty()) continue;
    append_sentence(ids, document);
    counts.num_bytes += static_cast<std::int64_t>(sentence.size());
    counts.num_words += num_words_of(sentence);
    counts.num_lines += !raw || sentence.ends_with('\n') ? 1 : 0;
  }
}

void SampleEncoder::encode_texts(const text::SourceSample& sample, const std::string& place,
                                 ShardText& document) const {
  for (const std::string& text : sample.texts) {
    append_sentence(encode_text(text, place), document);
  }
  document.value = sample.value;
  for (const std::string& label : sample.labels) {
    document.labels.push_back(label_id(label, place));
  }
  std::sort(document.labels.begin(), document.labels.end());
}

void SampleEncoder::encode_words(const text::SourceSample& sample, const text::SourceReader& reader,
                                 ShardText& document) const {
  const text::EncodedWords words = tokenizer_.encode_words(sample.texts);
  append_sentence(words.ids, document);
  document.token_labels.assign(words.ids.size(), -1);
  for (std::size_t i = 0; i < sample.labels.size(); ++i) {
    document.token_labels[static_cast<std::size_t>(words.first_pieces[i])] =
        label_id(sample.labels[i], reader.place(sample.word_lines[i]));
  }
}

void SampleEncoder::encode_question(const text::SourceSample& sample, const std::string& place,
                                    ShardText& document) const {
  append_sentence(encode_text(sample.texts[0], place), document);
  const auto first = static_cast<std::int32_t>(document.tokens.size());
  const text::EncodedText context = tokenizer_.encode_with_places(sample.texts[1]);
  if (context.ids.empty()) encode_text(sample.texts[1], place);  // says what is wrong
  append_sentence(context.ids, document);
  if (sample.answer_begin == sample.answer_end) return;
  // The tokens that have a byte of the answer.
  std::int32_t begin = -1, end = -1;
  for (std::size_t i = 0; i < context.ids.size(); ++i) {
    const auto& bytes = context.bytes[i];
    if (bytes.end <= sample.answer_begin || bytes.begin >= sample.answer_end) continue;
    if (begin < 0) begin = static_cast<std::int32_t>(i);
    end = static_cast<std::int32_t>(i);
  }
  if (begin < 0)
    fail<text::BadLine>("{}: nothing is left of the answer after normalisation", place);
  document.labels = {first + begin, first + end};
}

std::vector<std::int32_t> SampleEncoder::encode_text(const std::string& text,
                                                     const std::string& place) const {
  std::vector<std::int32_t> ids = tokenizer_.encode(text);
  if (ids.empty()) {
    fail<text::BadLine>("{}: nothing is left of \"{}\" after normalisation; remove the line", place,
                        text);
  }
  return ids;
}

std::int32_t SampleEncoder::label_id(const std::string& label, const std::string& place) const {
  const auto found = std::lower_bound(label_names_.begin(), label_names_.end(), label);
  if (found == label_names_.end() || *found != label) {
    fail<text::BadLine>(
        "{}: label \"{}\" is not among the {} of the training part, as they were when it was "
        "scanned; correct it, or prepare again",
        place, label, label_names_.size());
  }
  return static_cast<std::int32_t>(found - label_names_.begin());
}

}  // namespace polyphase::prepare
