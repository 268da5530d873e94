// SPDX-License-Identifier: Apache-2.0
// Running text out of files that hold more: tables, JSON lines and treebanks.
#include "tests/text/source_fixture.hpp"

namespace polyphase::text {
namespace {

SourceSettings text_from(CorpusFormat format, const CorpusColumns& columns = {},
                         bool header = false) {
  SourceSettings settings = settings_of(CorpusKind::kText, format);
  settings.columns = columns;
  settings.header = header;
  return settings;
}

std::vector<Strings> documents_of(const SourceSettings& settings, std::string_view text,
                                  BadLineList* bad = nullptr) {
  std::vector<Strings> documents;
  for (const SourceSample& sample : samples_of(settings, text, bad))
    documents.push_back(sample.texts);
  return documents;
}

using Documents = std::vector<Strings>;

TEST(TextOfTables, ARowIsADocument) {
  const std::string table = "id\tsentence\tother\n1\t one \ttwo\n2\tthree\tfour\n";
  EXPECT_EQ(documents_of(text_from(CorpusFormat::kTsv, {.text = "sentence"}, true), table),
            (Documents{{"one"}, {"three"}}));
  EXPECT_EQ(
      documents_of(text_from(CorpusFormat::kTsv, {.text = "sentence", .text_pair = "other"}, true),
                   table),
      (Documents{{"one", "two"}, {"three", "four"}}));
  EXPECT_EQ(documents_of(text_from(CorpusFormat::kTsv, {.text = "2"}), "1\tone\n2\ttwo\n"),
            (Documents{{"one"}, {"two"}}));
  EXPECT_EQ(documents_of(text_from(CorpusFormat::kTsv), "one\ntwo\n"),
            (Documents{{"one"}, {"two"}}));
}

TEST(TextOfTables, LinesOfAFieldAreSentences) {
  EXPECT_EQ(documents_of(text_from(CorpusFormat::kCsv, {.text = "text"}, true),
                         "text,label\n\"one\r\n\n two, three\",x\nfour,y\n"),
            (Documents{{"one", "two, three"}, {"four"}}));
}

TEST(TextOfTables, TheColumnMustBeClear) {
  EXPECT_MENTIONS(fault_in(text_from(CorpusFormat::kTsv), "one\tx\n"),
                  "t:1: 2 columns; say under columns which is the text");
  BadLineList bad;
  EXPECT_EQ(documents_of(text_from(CorpusFormat::kTsv, {.text = "1"}),
                         "one\tx\ntwo\n\t\nthree\ty\n", &bad),
            (Documents{{"one"}, {"three"}}));
  ASSERT_EQ(bad.count(), 2);
  EXPECT_MENTIONS(bad.first()[0], "t:2: 1 column, but the file's first line has 2");
  EXPECT_MENTIONS(bad.first()[1], "t:3: empty sentence in column 1");
}

TEST(TextOfJsonLines, ASecondTextFollowsTheFirst) {
  EXPECT_EQ(documents_of(text_from(CorpusFormat::kJsonl, {.text = "a", .text_pair = "b"}),
                         R"({"a": "one\ntwo", "b": "three"})"
                         "\n"),
            (Documents{{"one", "two", "three"}}));
}

std::string word(const std::string& id, const std::string& form, const std::string& misc = "_") {
  return fmt::format("{}\t{}\t_\tX\t_\t_\t0\troot\t_\t{}\n", id, form, misc);
}

TEST(TextOfTreebanks, CommentsSayTheTextAndWhereDocumentsBegin) {
  const std::string file = "# newdoc id = a\n# text = It's a cat.\n" + word("1", "It's") +
                           word("2", "x") + "\n# sent_id = 2\n# text = Yes.\n" + word("1", "Yes") +
                           "\n# newdoc\n# text = No.\n" + word("1", "No") + "\n";
  EXPECT_EQ(documents_of(text_from(CorpusFormat::kConllu), file),
            (Documents{{"It's a cat.", "Yes."}, {"No."}}));
}

TEST(TextOfTreebanks, WordsAreJoinedWhereNoCommentSaysTheText) {
  const std::string file = word("1", "We") + word("2-3", "don't") + word("2", "do") +
                           word("3", "n't") + word("3.1", "think") +
                           word("4", "know", "SpaceAfter=No") + word("5", ".") + "\n" +
                           word("1", "Yes");
  EXPECT_EQ(documents_of(text_from(CorpusFormat::kConllu), file),
            (Documents{{"We don't know."}, {"Yes"}}));
}

TEST(TextOfTreebanks, ABadLineCostsItsSentence) {
  BadLineList bad;
  const std::string file = "# newdoc\n" + word("1", "one") + "\n1\ttwo\n" + word("2", "x") + "\n" +
                           word("1", "three") + "\n";
  EXPECT_EQ(documents_of(text_from(CorpusFormat::kConllu), file, &bad),
            (Documents{{"one", "three"}}));
  ASSERT_EQ(bad.count(), 1);
  EXPECT_MENTIONS(bad.first()[0], "t:4: 2 columns between tabs; CoNLL-U has 10");
}

TEST(TextOfTreebanks, PartsBetweenBoundsGiveTheSameDocuments) {
  const TestFolder folder;
  std::string file;
  for (int i = 0; i < 30; ++i) {
    file += fmt::format("{}# text = sentence {}\n{}\n", i % 4 == 0 ? "\n# newdoc\n" : "", i,
                        word("1", "w"));
  }
  const std::string path = folder.write("t", file);
  const SourceSettings settings = text_from(CorpusFormat::kConllu);
  const auto whole = open_file(settings, path);
  std::vector<FilePart> parts = {{.path = path}};
  std::vector<Strings> expected, found;
  for (SourceSample sample; whole->next(sample);) {
    expected.push_back(sample.texts);
    ASSERT_TRUE(whole->at_boundary());
    parts.back().end = whole->end_offset(0);
    parts.push_back(
        {.path = path, .begin = whole->end_offset(0), .first_line = whole->end_line() + 1});
  }
  parts.pop_back();
  ASSERT_EQ(expected.size(), 8U);
  for (const FilePart& part : parts) {
    const auto reader = open_source(settings, {{part}, {}, {}, nullptr});
    for (SourceSample sample; reader->next(sample);) {
      found.push_back(sample.texts);
      EXPECT_MENTIONS(file.substr(file.find("# newdoc", static_cast<std::size_t>(part.begin))),
                      "# newdoc\n# text = " + sample.texts[0]);
    }
  }
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace polyphase::text
