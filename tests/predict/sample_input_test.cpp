// SPDX-License-Identifier: Apache-2.0
#include "predict/sample_input.hpp"

#include <sstream>

#include "base/error.hpp"
#include "tests/text/text_file.hpp"

namespace polyphase {
namespace {

using Texts = std::vector<std::vector<std::string>>;

Texts texts_of(const std::string& text, CorpusKind kind, std::int64_t num_texts = 1) {
  std::istringstream stream(text);
  const auto input = input_of_lines(stream, "in", kind, num_texts);
  Texts texts;
  for (InputSample sample; input->next(sample);) texts.push_back(sample.texts);
  return texts;
}

std::string fault_in(const std::string& text, CorpusKind kind, std::int64_t num_texts = 1) {
  return fault_of<DataError>([&] { texts_of(text, kind, num_texts); });
}

TEST(SampleInput, ALineIsASampleHoweverItEnds) {
  EXPECT_EQ(texts_of("\xEF\xBB\xBFone cat \r\n\n \t\r\n two", CorpusKind::kClassification),
            (Texts{{"one cat"}, {}, {}, {"two"}}));
  EXPECT_EQ(texts_of("", CorpusKind::kClassification), Texts{});
  EXPECT_EQ(texts_of("\n", CorpusKind::kTagging), Texts{{}});
}

TEST(SampleInput, EachKindSplitsItsLines) {
  EXPECT_EQ(texts_of("a b\tc\n", CorpusKind::kRegression, 2), (Texts{{"a b", "c"}}));
  EXPECT_EQ(texts_of("who?\tthe cat", CorpusKind::kQuestionAnswering),
            (Texts{{"who?", "the cat"}}));
  EXPECT_EQ(texts_of("  the   old cat ", CorpusKind::kTagging), (Texts{{"the", "old", "cat"}}));
}

TEST(SampleInput, FaultsAreNamedWithTheirLine) {
  EXPECT_MENTIONS(fault_in("a\nb\tc\n", CorpusKind::kMultiLabel), "in:2: 2 texts between tabs");
  EXPECT_MENTIONS(fault_in("a", CorpusKind::kClassification, 2), "in:1: 1 text between tabs");
  EXPECT_MENTIONS(fault_in("a\tO", CorpusKind::kTagging), "in:1: a tab");
  EXPECT_MENTIONS(fault_in("\n\xC3(", CorpusKind::kTagging), "in:2: byte 1 of the line");
  EXPECT_MENTIONS(fault_in(std::string(3 << 20, 'x'), CorpusKind::kTagging),
                  "in:1: a line of more");
}

TEST(SampleInput, SquadFilesGiveEveryAnswer) {
  const TestFolder folder;
  const std::string path = folder.write("q.json", R"({"data": [{"paragraphs": [{"context": "a b c",
    "qas": [{"id": "7", "question": "q", "answers": [{"text": "b", "answer_start": 2},
    {"text": "c", "answer_start": 4}]}, {"id": "8", "question": "r", "answers": []}]}]}]})");
  const auto input = open_sample_input(path, CorpusKind::kQuestionAnswering, 2);
  InputSample sample;
  ASSERT_TRUE(input->next(sample));
  EXPECT_EQ(sample.id, "7");
  EXPECT_EQ(sample.texts, (std::vector<std::string>{"q", "a b c"}));
  EXPECT_EQ(sample.answers, (std::vector<std::string>{"b", "c"}));
  ASSERT_TRUE(input->next(sample));
  EXPECT_TRUE(sample.answers.empty());
  EXPECT_FALSE(input->next(sample));
}

TEST(SampleInput, FilesThatCannotBeReadAreNamed) {
  const TestFolder folder;
  const auto open = [](const std::string& path) {
    return fault_of<DataError>([&] { open_sample_input(path, CorpusKind::kTagging, 1); });
  };
  EXPECT_MENTIONS(open(folder.path("none")), "cannot be opened: No such file");
  EXPECT_MENTIONS(open(folder.path("")), "is a folder");
}

}  // namespace
}  // namespace polyphase
