// SPDX-License-Identifier: Apache-2.0
#include "corpus/synonyms.hpp"

#include <algorithm>
#include <sstream>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/file.hpp"

namespace polyphase {
namespace {

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields(1);
  for (const char c : line) {
    if (c == '\t') {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

// As it stands inside of a text. Empty when a piece is unknown.
SynonymTable::Pieces pieces_of(const std::string& words, const text::Tokenizer& tokenizer) {
  // Where white space is kept, a blank is the mark of a word's start, which texts have there.
  const std::string inside = tokenizer.keeps_white_space() ? " " + words : words;
  SynonymTable::Pieces pieces = tokenizer.encode(inside);
  const bool known = std::find(pieces.begin(), pieces.end(), text::kUnkId) == pieces.end();
  return known ? pieces : SynonymTable::Pieces();
}

}  // namespace

SynonymTable::SynonymTable(const std::string& path, const text::Tokenizer& tokenizer) {
  const std::string content = read_file(path);
  digest_ = polyphase::digest(content);
  std::istringstream lines(content);
  std::int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    add_line(line, fmt::format("{}:{}", path, number), tokenizer);
  }
  if (synonyms_.empty()) {
    fail<DataError>(
        "{}: no word of its {} lines has a synonym that the tokenizer knows; is this a "
        "table of lines word<TAB>synonym?",
        path, number);
  }
}

void SynonymTable::add_line(const std::string& line, const std::string& place,
                            const text::Tokenizer& tokenizer) {
  const std::vector<std::string> fields = fields_of(line);
  const bool empty = std::any_of(fields.begin(), fields.end(),
                                 [](const std::string& field) { return field.empty(); });
  if (fields.size() < 2 || empty || fields[0].find(' ') != std::string::npos) {
    fail<DataError>(
        "{}: \"{}\" is not one word and its synonyms, with a tab between each; correct "
        "or remove the line",
        place, line);
  }
  const Pieces word = pieces_of(fields[0], tokenizer);
  if (word.empty()) return;
  Synonyms found;
  for (std::size_t i = 1; i < fields.size(); ++i) {
    Pieces synonym = pieces_of(fields[i], tokenizer);
    const bool known = std::find(found.begin(), found.end(), synonym) != found.end();
    if (!synonym.empty() && synonym != word && !known) found.push_back(std::move(synonym));
  }
  if (found.empty()) return;
  // Words that the tokenizer makes equal (in lower case) share their synonyms.
  Synonyms& all = synonyms_[word];
  for (Pieces& synonym : found) {
    if (std::find(all.begin(), all.end(), synonym) == all.end()) all.push_back(std::move(synonym));
  }
}

const SynonymTable::Synonyms* SynonymTable::find(const Pieces& word) const {
  const auto found = synonyms_.find(word);
  return found == synonyms_.end() ? nullptr : &found->second;
}

}  // namespace polyphase
