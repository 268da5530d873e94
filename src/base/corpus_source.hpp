// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

// What the files of a corpus hold and how: the words that recipe, readers, prepared corpora and
// data sets share.
namespace polyphase {

enum class CorpusKind {
  kText,               // documents of sentences
  kClassification,     // one text or two, and a class
  kRegression,         // one text or two, and a number
  kMultiLabel,         // one text or two, and any number of classes
  kTagging,            // words, each with a tag
  kQuestionAnswering,  // a question, a context, and the answer's place in it or none
  kGeneration,         // a source text and the target text to make of it
};

enum class CorpusFormat { kText, kTsv, kCsv, kJsonl, kConll, kConllu, kSquad, kParallel };

enum class TextLayout {
  kSentences,  // a sentence a line, blank lines between documents, white space at the ends removed
  kRaw,        // byte for byte: a line with its end is a sentence, a file is a document
};

enum class BadLines { kRefuse, kSkip };

// Where a format of columns or keys keeps each part of a sample: a name of the header, a number
// from 1, or a JSON key; "": the format's own place. A kind uses those that it has.
struct CorpusColumns {
  std::string text, text_pair, label;  // text, but for the label; classification and its like
  std::string token, tag;              // tagging
  std::string source, target;          // generation
  std::string score;                   // how hard a training sample is; none where it is not named

  bool operator==(const CorpusColumns&) const = default;
};

// One row a kind: its name, the formats that it is read from, the default one first, and the
// columns it may name.
struct CorpusKindRow {
  CorpusKind kind;
  std::string name;  // on disk and in recipes: never rename
  std::vector<CorpusFormat> formats;
  std::vector<std::string> columns;
};
const std::vector<CorpusKindRow>& corpus_kinds();
const CorpusKindRow& row_of(CorpusKind kind);

// On disk and in recipes: never rename.
const std::vector<std::pair<std::string, CorpusFormat>>& corpus_formats();

const std::string& name_of(CorpusKind kind);
const std::string& name_of(CorpusFormat format);
std::optional<CorpusKind> kind_named(std::string_view name);

inline CorpusFormat default_format(CorpusKind kind) { return row_of(kind).formats.front(); }
bool has_format(CorpusKind kind, CorpusFormat format);

}  // namespace polyphase
