// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "io/shard.hpp"
#include "text/source.hpp"
#include "text/tokenizer.hpp"

namespace polyphase::prepare {

// What was counted of the text that a document was made from (corpus.json in io/FORMATS.md).
struct TextCounts {
  std::int64_t num_bytes = 0, num_words = 0, num_lines = 0;
};

// Makes documents of a shard out of samples of one kind.
class SampleEncoder {
 public:
  // `label_names` in rising order.
  SampleEncoder(const text::SourceSettings& settings, const text::Tokenizer& tokenizer,
                const std::vector<std::string>& label_names)
      : settings_(settings), tokenizer_(tokenizer), label_names_(label_names) {}

  // Fills `document`, and `counts` of its text. False for a text of which nothing is left: it has
  // no document. Throws BadLine, naming `place` ("file:line"), for any other sample whose text
  // vanishes, for a label that has no number, and for an answer without a token.
  bool encode(const text::SourceSample& sample, const text::SourceReader& reader,
              ShardText& document, TextCounts& counts) const;

 private:
  void encode_sentences(const text::SourceSample& sample, ShardText& document,
                        TextCounts& counts) const;
  void encode_texts(const text::SourceSample& sample, const std::string& place,
                    ShardText& document) const;
  void encode_words(const text::SourceSample& sample, const text::SourceReader& reader,
                    ShardText& document) const;
  void encode_question(const text::SourceSample& sample, const std::string& place,
                       ShardText& document) const;
  std::vector<std::int32_t> encode_text(const std::string& text, const std::string& place) const;
  std::int32_t label_id(const std::string& label, const std::string& place) const;

  const text::SourceSettings& settings_;
  const text::Tokenizer& tokenizer_;
  const std::vector<std::string>& label_names_;
};

}  // namespace polyphase::prepare
