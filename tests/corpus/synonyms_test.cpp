// SPDX-License-Identifier: Apache-2.0
#include "corpus/synonyms.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <optional>

#include "base/error.hpp"
#include "tests/corpus/corpus_fixture.hpp"

namespace polyphase {
namespace {

class SynonymsTest : public CorpusTest {
 protected:
  SynonymsTest() {
    std::size_t next = 0;
    const std::vector<std::string> lines = {"the big cat sees a large dog", "take over the house",
                                            "a small dog takes the home over"};
    tokenizer_.emplace(text::Tokenizer::train({.kind = "char", .vocab_size = 40, .lowercase = true},
                                              [&](std::string& sentence) {
                                                if (next == lines.size()) return false;
                                                sentence = lines[next++];
                                                return true;
                                              }));
  }
  std::string write(const std::string& text) {
    const std::string path = (folder_ / "synonyms.tsv").string();
    std::ofstream(path) << text;
    return path;
  }
  std::vector<std::string> synonyms_of(const SynonymTable& table, const std::string& word) {
    std::vector<std::string> words;
    const SynonymTable::Synonyms* found = table.find(tokenizer_->encode(word));
    if (found == nullptr) return words;
    for (const auto& pieces : *found) words.push_back(tokenizer_->decode(pieces));
    return words;
  }
  std::string error_of(const std::string& text) {
    try {
      const SynonymTable table(write(text), *tokenizer_);
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  }

  std::optional<text::Tokenizer> tokenizer_;
};

using Words = std::vector<std::string>;

TEST_F(SynonymsTest, TableIsReadAsTheTokenizerSeesIt) {
  const SynonymTable table(write("# a comment\nBig\tlarge\tBIG\tgreat\tlarge\n\nbig\tolder\r\n"
                                 "house\thome\tthe home\nzzz\thome\ncat\tzzz\n"),
                           *tokenizer_);
  EXPECT_EQ(synonyms_of(table, "big"), (Words{"large", "great", "older"}));
  EXPECT_EQ(synonyms_of(table, "house"), (Words{"home", "the home"}));
  EXPECT_TRUE(synonyms_of(table, "cat").empty()) << "its only synonym has unknown characters";
  EXPECT_TRUE(synonyms_of(table, "hous").empty());
  EXPECT_EQ(table.num_words(), 2U);
}

TEST_F(SynonymsTest, BadLinesAreNamed) {
  const std::string path = (folder_ / "synonyms.tsv").string();
  for (const std::string line : {"dog", "dog\t", "\tdog", "take over\tassume"}) {
    const std::string error = error_of("big\tlarge\n" + line + "\n");
    EXPECT_NE(error.find(path + ":2: \"" + line + "\" is not one word"), std::string::npos)
        << error;
  }
  EXPECT_NE(error_of("zzz\tyyy\n").find("no word of its 1 lines"), std::string::npos);
  EXPECT_THROW(SynonymTable((folder_ / "none.tsv").string(), *tokenizer_), SystemError);
}

}  // namespace
}  // namespace polyphase
