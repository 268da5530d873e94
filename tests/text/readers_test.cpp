// SPDX-License-Identifier: Apache-2.0
#include "text/readers.hpp"

#include "base/error.hpp"
#include "tests/text/text_file.hpp"

namespace polyphase::text {
namespace {

using Strings = std::vector<std::string>;

template <class Reader, class Item>
void read_all(const std::string& path) {
  Reader reader(FilePart{path});
  for (Item item; reader.next(item);) {
  }
}

template <class Reader, class Item>
std::string fault_in(std::string_view text) {
  const TestFolder folder;
  const std::string path = folder.write("t", text);
  const std::string fault = fault_of<DataError>([&] { read_all<Reader, Item>(path); });
  return fault.substr(path.size() - 1);
}

std::string labelled_fault(std::string_view text) {
  return fault_in<LabelledTextReader, LabelledText>(text);
}
std::string tagged_fault(std::string_view text) {
  return fault_in<TaggedSentenceReader, TaggedSentence>(text);
}

TEST(DocumentReader, SplitsDocumentsAtBlankLines) {
  const TestFolder folder;
  DocumentReader reader({folder.write("a", "\n\nOne. \nTwo.\n \t\n\nThree.")});
  Strings sentences;
  ASSERT_TRUE(reader.next(sentences));
  EXPECT_EQ(sentences, (Strings{"One.", "Two."}));
  EXPECT_EQ(reader.line_number(), 3);
  EXPECT_EQ(reader.end_line(), 5);
  EXPECT_EQ(reader.end_offset(), 16);
  ASSERT_TRUE(reader.next(sentences));
  EXPECT_EQ(sentences, (Strings{"Three."}));
  EXPECT_EQ(reader.line_number(), 7);
  EXPECT_FALSE(reader.next(sentences));
}

TEST(DocumentReader, GivesAnEndlessDocumentInPieces) {
  const TestFolder folder;
  std::string text;
  const std::string line(1 << 16, 'x');
  for (int i = 0; i < 100; ++i) text += line + "\n";
  DocumentReader reader({folder.write("a", text)});
  Strings sentences;
  ASSERT_TRUE(reader.next(sentences));
  EXPECT_EQ(sentences.size(), 64U);
  EXPECT_FALSE(reader.at_boundary());
  ASSERT_TRUE(reader.next(sentences));
  EXPECT_EQ(sentences.size(), 36U);
  EXPECT_TRUE(reader.at_boundary());
}

TEST(LabelledTextReader, ReadsTextsAndPairs) {
  const TestFolder folder;
  LabelledTextReader single({folder.write("a", "a fine day\tgood\r\nrain\tbad")});
  LabelledText sample;
  ASSERT_TRUE(single.next(sample));
  EXPECT_EQ(sample.texts, (Strings{"a fine day"}));
  EXPECT_EQ(sample.label, "good");
  ASSERT_TRUE(single.next(sample));
  EXPECT_EQ(sample.label, "bad");
  EXPECT_FALSE(single.next(sample));

  LabelledTextReader pair({folder.write("b", "it rains\tit is wet\tyes\n")});
  ASSERT_TRUE(pair.next(sample));
  EXPECT_EQ(sample.texts, (Strings{"it rains", "it is wet"}));
  EXPECT_EQ(pair.num_columns(), 3);
}

TEST(LabelledTextReader, NamesTheLineOfEveryFault) {
  EXPECT_MENTIONS(labelled_fault("a\tx\nno label here\n"), "t:2: 1 column, but the file's first");
  EXPECT_MENTIONS(labelled_fault("a\tx\nb\tc\ty\n"),
                  "t:2: 3 columns, but the file's first line has 2");
  EXPECT_MENTIONS(labelled_fault("a\tb\tc\td\n"), "t:1: 4 columns, but 2 or 3 are expected");
  EXPECT_MENTIONS(labelled_fault("a\tx\n \ty\n"), "t:2: empty sentence in column 1");
  EXPECT_MENTIONS(labelled_fault("a\tb\tx\na\t\ty\n"), "t:2: empty sentence in column 2");
  EXPECT_MENTIONS(labelled_fault("a\tx\nb\t\n"), "t:2: no label");
  EXPECT_MENTIONS(labelled_fault("a\tx\n\nb\ty\n"), "t:2: empty line");
}

TEST(TaggedSentenceReader, ReadsTabsOrBlanksAndSkipsMarksAndComments) {
  const TestFolder folder;
  TaggedSentenceReader tabs({folder.write(
      "a", "-DOCSTART-\tO\n\n# a comment\nNew York\tB-LOC\n#\tO\n# \tO\n\n\n#\tB-X\nend\tO")});
  TaggedSentence sentence;
  ASSERT_TRUE(tabs.next(sentence));
  EXPECT_EQ(sentence.tokens, (Strings{"New York", "#", "#"}));
  EXPECT_EQ(sentence.tags, (Strings{"B-LOC", "O", "O"}));
  EXPECT_EQ(tabs.line_number(), 4);
  ASSERT_TRUE(tabs.next(sentence));
  EXPECT_EQ(sentence.tokens, (Strings{"#", "end"}));
  EXPECT_TRUE(tabs.place(1).ends_with("a:10"));
  EXPECT_FALSE(tabs.next(sentence));

  TaggedSentenceReader blanks({folder.write("b", "U.N. NNP I-NP B-ORG\r\nin IN  B-PP O\r\n\r\n")});
  ASSERT_TRUE(blanks.next(sentence));
  EXPECT_EQ(sentence.tokens, (Strings{"U.N.", "in"}));
  EXPECT_EQ(sentence.tags, (Strings{"B-ORG", "O"}));
}

TEST(TaggedSentenceReader, CountsInsideTagsThatContinueNothing) {
  const TestFolder folder;
  TaggedSentenceReader reader(
      {folder.write("a", "a\tI-X\nb\tI-X\nc\tI-Y\nd\tO\ne\tB-Y\nf\tI-Y\ng\tO\nh\tI-Y\n")});
  TaggedSentence sentence;
  while (reader.next(sentence)) {
  }
  EXPECT_EQ(reader.num_loose_inside(), 3);
}

TEST(TaggedSentenceReader, NamesTheLineOfEveryFault) {
  EXPECT_MENTIONS(tagged_fault("a\tO\nb\n"), "t:2: no label behind the token \"b\"");
  EXPECT_MENTIONS(tagged_fault("a\tO\nb\t\n"), "t:2: no label behind the token \"b\"");
  EXPECT_MENTIONS(tagged_fault("a\tO\n\tO\n"), "t:2: empty token");
  EXPECT_MENTIONS(tagged_fault("a\tO\n\nb\tX\tO\n"),
                  "t:3: 3 columns, but the file's first line has 2");
  std::string endless = "a\tO\n\n";
  for (int i = 0; i <= kMaxSentenceTokens; ++i) endless += "a\tO\n";
  EXPECT_MENTIONS(tagged_fault(endless), "t:3: sentence of more than 65536 tokens");
}

TEST(Readers, RefuseBinaryFiles) {
  const std::string_view binary(
      "\x7f"
      "ELF\x02\x01\0\0",
      8);
  EXPECT_MENTIONS(labelled_fault(binary), "t:1: NUL byte");
  EXPECT_MENTIONS(tagged_fault(binary), "t:1: NUL byte");
  EXPECT_MENTIONS((fault_in<DocumentReader, Strings>(binary)), "t:1: NUL byte");
}

}  // namespace
}  // namespace polyphase::text
