// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <istream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/corpus_source.hpp"

namespace polyphase {

// What a person wants predicted: one text or two, the words of a sentence, or a question and its
// context.
struct InputSample {
  std::vector<std::string> texts;    // none: an empty line
  std::string id;                    // of a question of a SQuAD file
  std::vector<std::string> answers;  // that such a file accepts; none: it has no answer
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(InputSample, texts, id, answers)

// Samples in their order. Belongs to one rank.
class SampleInput {
 public:
  virtual ~SampleInput() = default;
  // False behind the last one. Throws DataError with the place of what is wrong.
  virtual bool next(InputSample& sample) = 0;
};

// A sample a line, in UTF-8, with LF or CR LF: `num_texts` texts with a tab between, words apart by
// blanks, or a question, a tab and its context, as the kind of corpus asks. `name` stands for the
// stream in messages; the stream must outlive the input.
std::unique_ptr<SampleInput> input_of_lines(std::istream& stream, const std::string& name,
                                            CorpusKind kind, std::int64_t num_texts);

// The same from a file, which a name that ends in .json makes a SQuAD file where the kind is
// question answering.
std::unique_ptr<SampleInput> open_sample_input(const std::string& path, CorpusKind kind,
                                               std::int64_t num_texts);

}  // namespace polyphase
