// SPDX-License-Identifier: Apache-2.0
// Text, tables and words: the formats that a person may write by hand.
#include "text/source.hpp"

#include "tests/text/source_fixture.hpp"

namespace polyphase::text {
namespace {

const SourceSettings kText = settings_of(CorpusKind::kText, CorpusFormat::kText);
const SourceSettings kTable = settings_of(CorpusKind::kClassification, CorpusFormat::kTsv);
const SourceSettings kWords = settings_of(CorpusKind::kTagging, CorpusFormat::kConll);

SourceSettings raw_text() {
  SourceSettings settings = kText;
  settings.layout = TextLayout::kRaw;
  return settings;
}

TEST(Sentences, DocumentsEndAtBlankLines) {
  const TestFolder folder;
  const auto reader = open_file(kText, folder.write("a", "\n\nOne. \nTwo.\n \t\n\nThree."));
  SourceSample sample;
  ASSERT_TRUE(reader->next(sample));
  EXPECT_EQ(sample.texts, (Strings{"One.", "Two."}));
  EXPECT_EQ(sample.line, 3);
  EXPECT_EQ(reader->end_line(), 5);
  EXPECT_EQ(reader->end_offset(0), 16);
  ASSERT_TRUE(reader->next(sample));
  EXPECT_EQ(sample.texts, (Strings{"Three."}));
  EXPECT_EQ(sample.line, 7);
  EXPECT_FALSE(reader->next(sample));
}

TEST(Sentences, AnEndlessDocumentComesInPieces) {
  const TestFolder folder;
  std::string text;
  const std::string line(1 << 16, 'x');
  for (int i = 0; i < 100; ++i) text += line + "\n";
  const auto reader = open_file(kText, folder.write("a", text));
  SourceSample sample;
  ASSERT_TRUE(reader->next(sample));
  EXPECT_EQ(sample.texts.size(), 64U);
  EXPECT_FALSE(reader->at_boundary());
  ASSERT_TRUE(reader->next(sample));
  EXPECT_EQ(sample.texts.size(), 36U);
  EXPECT_TRUE(reader->at_boundary());
}

TEST(RawText, EveryByteComesBack) {
  const std::string text = "\xEF\xBB\xBFOne. \r\n\n  \t\nTwo\n\n";
  const auto samples = samples_of(raw_text(), text);
  ASSERT_EQ(samples.size(), 1U);
  EXPECT_EQ(samples[0].texts, (Strings{"\xEF\xBB\xBFOne. \r\n", "\n", "  \t\n", "Two\n", "\n"}));
  EXPECT_EQ(samples_of(raw_text(), "no end")[0].texts, (Strings{"no end"}));
}

TEST(RawText, ALongFileIsCutIntoDocuments) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += std::string(1 << 16, 'x') + "\n";
  const auto samples = samples_of(raw_text(), text);
  ASSERT_EQ(samples.size(), 2U);
  std::string all;
  for (const auto& sample : samples) {
    for (const std::string& line : sample.texts) all += line;
  }
  EXPECT_EQ(all, text);
}

TEST(Table, TextsAndPairs) {
  const auto single = samples_of(kTable, "a fine day\tgood\r\nrain\tbad");
  ASSERT_EQ(single.size(), 2U);
  EXPECT_EQ(single[0].texts, (Strings{"a fine day"}));
  EXPECT_EQ(single[0].labels, (Strings{"good"}));
  EXPECT_EQ(single[1].labels, (Strings{"bad"}));
  EXPECT_EQ(single[1].line, 2);
  const auto pair = samples_of(kTable, "it rains\tit is wet\tyes\n");
  EXPECT_EQ(pair.at(0).texts, (Strings{"it rains", "it is wet"}));
}

TEST(Table, ColumnsGoByHeaderOrNumber) {
  SourceSettings settings = kTable;
  settings.columns = {.text = "2", .label = "4"};
  const std::string rows = "id\tA\tB\tjudged\n1\tit rains\tit is wet\tyes\n";
  auto samples = samples_of(settings, rows);
  ASSERT_EQ(samples.size(), 2U);
  EXPECT_EQ(samples[1].texts, (Strings{"it rains"}));
  settings.header = true;
  settings.columns = {.text = "A", .text_pair = "B", .label = "judged"};
  samples = samples_of(settings, rows);
  ASSERT_EQ(samples.size(), 1U);
  EXPECT_EQ(samples[0].texts, (Strings{"it rains", "it is wet"}));
  EXPECT_EQ(samples[0].labels, (Strings{"yes"}));
  settings.columns.label = "judge";
  EXPECT_MENTIONS(fault_in(settings, rows), "did you mean \"judged\"?");
  settings.columns.label = "5";
  EXPECT_MENTIONS(fault_in(settings, rows), "no column \"5\" among its 4");
  settings.columns = {};
  EXPECT_MENTIONS(fault_in(settings, rows), "4 columns; say under columns which");
  // Usual names need no columns.
  EXPECT_EQ(samples_of(settings, "label\tscore\ttext\nx\t1\ta day\n").at(0).texts,
            (Strings{"a day"}));
}

TEST(Table, NumbersAndSetsOfClasses) {
  SourceSettings settings = settings_of(CorpusKind::kRegression, CorpusFormat::kTsv);
  EXPECT_EQ(samples_of(settings, "a\t4.25\nb\t-1e-2\n").at(1).value, -0.01F);
  EXPECT_MENTIONS(fault_in(settings, "a\t4\nb\t4,5\n"), "t:2: \"4,5\" is not a number");
  EXPECT_MENTIONS(fault_in(settings, "a\tinf\n"), "is not a number");
  settings.kind = CorpusKind::kMultiLabel;
  const auto sets = samples_of(settings, "a\tx, y,x\nb\t\n");
  EXPECT_EQ(sets.at(0).labels, (Strings{"x", "y"}));
  EXPECT_TRUE(sets.at(1).labels.empty());
}

TEST(Table, EveryFaultNamesItsLine) {
  EXPECT_MENTIONS(fault_in(kTable, "a\tx\nno label here\n"), "t:2: 1 column, but the file's first");
  EXPECT_MENTIONS(fault_in(kTable, "a\tx\nb\tc\ty\n"),
                  "t:2: 3 columns, but the file's first line has 2");
  EXPECT_MENTIONS(fault_in(kTable, "a\tb\tc\td\n"), "t:1: 4 columns, but 2 or 3 are expected");
  EXPECT_MENTIONS(fault_in(kTable, "a\tx\n \ty\n"), "t:2: empty sentence in column 1");
  EXPECT_MENTIONS(fault_in(kTable, "a\tb\tx\na\t\ty\n"), "t:2: empty sentence in column 2");
  EXPECT_MENTIONS(fault_in(kTable, "a\tx\nb\t\n"), "t:2: no label");
  EXPECT_MENTIONS(fault_in(kTable, "a\tx\n\nb\ty\n"), "t:2: empty line");
}

TEST(Words, TabsOrBlanksMarksAndComments) {
  const auto tabs = samples_of(
      kWords, "-DOCSTART-\tO\n\n# a comment\nNew York\tB-LOC\n#\tO\n# \tO\n\n\n#\tB-X\nend\tO");
  ASSERT_EQ(tabs.size(), 2U);
  EXPECT_EQ(tabs[0].texts, (Strings{"New York", "#", "#"}));
  EXPECT_EQ(tabs[0].labels, (Strings{"B-LOC", "O", "O"}));
  EXPECT_EQ(tabs[0].line, 4);
  EXPECT_EQ(tabs[1].texts, (Strings{"#", "end"}));
  EXPECT_EQ(tabs[1].word_lines, (std::vector<std::int64_t>{9, 10}));
  const std::string blanks = "U.N. NNP I-NP B-ORG\r\nin IN  B-PP O\r\n\r\n";
  EXPECT_EQ(samples_of(kWords, blanks).at(0).labels, (Strings{"B-ORG", "O"}));
  SourceSettings settings = kWords;
  settings.columns = {.token = "1", .tag = "2"};
  EXPECT_EQ(samples_of(settings, blanks).at(0).labels, (Strings{"NNP", "IN"}));
  settings.columns.tag = "5";
  EXPECT_MENTIONS(fault_in(settings, blanks), "t:1: no column 5 among 4");
}

TEST(Words, InsideTagsThatContinueNothingAreCounted) {
  const TestFolder folder;
  const auto reader = open_file(
      kWords, folder.write("a", "a\tI-X\nb\tI-X\nc\tI-Y\nd\tO\ne\tB-Y\nf\tI-Y\ng\tO\nh\tI-Y\n"));
  SourceSample sentence;
  while (reader->next(sentence)) {
  }
  EXPECT_EQ(reader->num_loose_inside(), 3);
}

TEST(Words, EveryFaultNamesItsLine) {
  EXPECT_MENTIONS(fault_in(kWords, "a\tO\nb\n"), "t:2: no label behind the token \"b\"");
  EXPECT_MENTIONS(fault_in(kWords, "a\tO\nb\t\n"), "t:2: no label behind the token \"b\"");
  EXPECT_MENTIONS(fault_in(kWords, "a\tO\n\tO\n"), "t:2: empty token");
  EXPECT_MENTIONS(fault_in(kWords, "a\tO\n\nb\tX\tO\n"),
                  "t:3: 3 columns, but the file's first line has 2");
  std::string endless = "a\tO\n\n";
  for (int i = 0; i <= kMaxSentenceTokens; ++i) endless += "a\tO\n";
  EXPECT_MENTIONS(fault_in(kWords, endless), "t:3: sentence of more than 65536 tokens");
}

TEST(Conllu, WordsOnlyWithTheTagAskedFor) {
  SourceSettings settings = settings_of(CorpusKind::kTagging, CorpusFormat::kConllu);
  const std::string text =
      "# sent_id = 1\n# text = I don't\n1\tI\ti\tPRON\tPRP\tCase=Nom\t2\tnsubj\t_\t_\n"
      "2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_\n2\tdo\tdo\tAUX\tVBP\t_\t0\troot\t_\t_\n"
      "3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_\n3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t_\t_\n\n";
  EXPECT_EQ(samples_of(settings, text).at(0).texts, (Strings{"I", "do", "n't"}));
  EXPECT_EQ(samples_of(settings, text).at(0).labels, (Strings{"PRON", "AUX", "PART"}));
  EXPECT_EQ(samples_of(settings, text).at(0).word_lines, (std::vector<std::int64_t>{3, 5, 6}));
  settings.columns.tag = "deprel";
  EXPECT_EQ(samples_of(settings, text).at(0).labels, (Strings{"nsubj", "root", "advmod"}));
  EXPECT_MENTIONS(fault_in(settings, "1\tI\tPRON\n"), "t:1: 3 columns between tabs; CoNLL-U has");
}

TEST(BadLines, AreLeftOutWithTheirSampleAndCounted) {
  BadLineList bad;
  auto samples = samples_of(kTable, "a\tx\nno label\nb\ty\n\n\xFF\tz\nc\tx\n", &bad);
  ASSERT_EQ(samples.size(), 3U);
  EXPECT_EQ(samples[2].texts, (Strings{"c"}));
  ASSERT_EQ(bad.count(), 3);
  EXPECT_MENTIONS(bad.first()[0], "/t:2: 1 column");
  EXPECT_MENTIONS(bad.first()[2], "/t:5: byte 0xFF");

  BadLineList sentences;
  samples = samples_of(kWords, "a\tO\nb\nc\tO\nd\n\ne\tO\n", &sentences);
  ASSERT_EQ(samples.size(), 1U);  // a bad word makes its whole sentence bad, once
  EXPECT_EQ(samples[0].texts, (Strings{"e"}));
  EXPECT_EQ(sentences.count(), 1);

  BadLineList text;
  samples = samples_of(kText, "One.\n\xFF\nTwo.\n", &text);
  ASSERT_EQ(samples.size(), 1U);  // a document loses its bad lines only
  EXPECT_EQ(samples[0].texts, (Strings{"One.", "Two."}));
  EXPECT_EQ(text.count(), 1);
}

TEST(BadLines, OnlyTheFirstTenAreKeptInWords) {
  std::string text = "a\tx\n";
  for (int i = 0; i < 25; ++i) text += "bad\n";
  BadLineList bad;
  EXPECT_EQ(samples_of(kTable, text, &bad).size(), 1U);
  EXPECT_EQ(bad.count(), 25);
  EXPECT_EQ(bad.first().size(), 10U);
}

TEST(Readers, RefuseBinaryFiles) {
  const std::string_view binary(
      "\x7f"
      "ELF\x02\x01\0\0",
      8);
  for (const SourceSettings& settings : {kText, raw_text(), kTable, kWords}) {
    EXPECT_MENTIONS(fault_in(settings, binary), "t:1: NUL byte");
  }
}

}  // namespace
}  // namespace polyphase::text
