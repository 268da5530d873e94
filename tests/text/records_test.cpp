// SPDX-License-Identifier: Apache-2.0
// Records that programs write: CSV, JSON lines, SQuAD and parallel text.
#include "tests/text/source_fixture.hpp"

namespace polyphase::text {
namespace {

const SourceSettings kCsv = settings_of(CorpusKind::kClassification, CorpusFormat::kCsv);
const SourceSettings kSquad = settings_of(CorpusKind::kQuestionAnswering, CorpusFormat::kSquad);

TEST(Csv, QuotesHoldCommasLineEndsAndQuotes) {
  const auto samples = samples_of(
      kCsv, "\xEF\xBB\xBFplain text,good\r\n\"a, b\r\nand \"\"c\"\"\",\"bad\"\r\n\"\"\"\",x");
  ASSERT_EQ(samples.size(), 3U);
  EXPECT_EQ(samples[0].texts, (Strings{"plain text"}));
  EXPECT_EQ(samples[1].texts, (Strings{"a, b\r\nand \"c\""}));
  EXPECT_EQ(samples[1].labels, (Strings{"bad"}));
  EXPECT_EQ(samples[1].line, 2);
  EXPECT_EQ(samples[2].texts, (Strings{"\""}));
  EXPECT_EQ(samples[2].line, 4);
}

TEST(Csv, MisplacedQuotesAreNamed) {
  EXPECT_MENTIONS(fault_in(kCsv, "a,x\nb \"c\",y\n"), "t:2: a quote in field 1");
  EXPECT_MENTIONS(fault_in(kCsv, "\"a\"b,x\n"), "t:1: field 1 goes on behind its closing quote");
  EXPECT_MENTIONS(fault_in(kCsv, "a,x\n\"b\nc,y\n"), "t:2: a quote that is never closed");
  EXPECT_MENTIONS(fault_in(kCsv, "a,x\nb\n"), "t:2: 1 column, but the file's first line has 2");
  std::string endless = "a,x\n\"";
  for (int i = 0; i < 70000; ++i) endless += "never closed\n\n\n\n";
  EXPECT_MENTIONS(fault_in(kCsv, endless), "t:2: a row of more than 1048576 bytes");
}

TEST(Csv, AHeaderNamesTheColumns) {
  SourceSettings settings = kCsv;
  settings.header = true;
  settings.columns = {.text = "review, whole", .label = "stars"};
  const auto samples = samples_of(settings, "stars,\"review, whole\"\n5,\"good, really\"\n");
  ASSERT_EQ(samples.size(), 1U);
  EXPECT_EQ(samples[0].texts, (Strings{"good, really"}));
  EXPECT_EQ(samples[0].labels, (Strings{"5"}));
}

TEST(JsonLines, EveryKindHasItsKeys) {
  SourceSettings settings = settings_of(CorpusKind::kClassification, CorpusFormat::kJsonl);
  auto samples = samples_of(settings, R"({"text": "a \"day\"", "label": 3})"
                                      "\n"
                                      R"({"label": "x", "text": "caf\u00e9"})");
  ASSERT_EQ(samples.size(), 2U);
  EXPECT_EQ(samples[0].texts, (Strings{"a \"day\""}));
  EXPECT_EQ(samples[0].labels, (Strings{"3"}));
  EXPECT_EQ(samples[1].texts, (Strings{"caf\xC3\xA9"}));
  settings.kind = CorpusKind::kRegression;
  settings.columns = {.text = "A", .text_pair = "B", .label = "score"};
  samples = samples_of(settings, R"({"A": "a", "B": "b", "score": 4.5})");
  EXPECT_EQ(samples.at(0).texts, (Strings{"a", "b"}));
  EXPECT_EQ(samples.at(0).value, 4.5F);
  settings = settings_of(CorpusKind::kMultiLabel, CorpusFormat::kJsonl);
  samples = samples_of(settings, R"({"text": "a", "label": ["x, z", "y", "y"]})"
                                 "\n"
                                 R"({"text": "b", "label": []})");
  EXPECT_EQ(samples.at(0).labels, (Strings{"x, z", "y"}));  // a comma belongs to the name
  EXPECT_TRUE(samples.at(1).labels.empty());
  settings.kind = CorpusKind::kTagging;
  samples = samples_of(settings, R"({"tokens": ["New", "York"], "tags": ["B-LOC", "I-LOC"]})");
  EXPECT_EQ(samples.at(0).texts, (Strings{"New", "York"}));
  EXPECT_EQ(samples.at(0).labels, (Strings{"B-LOC", "I-LOC"}));
  settings.kind = CorpusKind::kGeneration;
  samples = samples_of(settings, R"({"prompt": "2 + 2?", "answer": "4"})");
  EXPECT_EQ(samples.at(0).texts, (Strings{"2 + 2?", "4"}));
  samples = samples_of(settings, R"({"source": "a dog", "target": "ein Hund"})");
  EXPECT_EQ(samples.at(0).texts, (Strings{"a dog", "ein Hund"}));
  settings.kind = CorpusKind::kText;
  samples = samples_of(settings, R"({"text": "One.\n\n Two.\r\nThree."})");
  EXPECT_EQ(samples.at(0).texts, (Strings{"One.", "Two.", "Three."}));
}

TEST(Scores, AreReadOfTrainingSamplesFromTheColumnThatIsNamed) {
  SourceSettings settings = settings_of(CorpusKind::kClassification, CorpusFormat::kTsv);
  settings.columns = {.text = "1", .label = "2", .score = "3"};
  settings.reads_score = true;
  auto samples = samples_of(settings, "a\tx\t2.5\nb\ty\t-1\n");
  EXPECT_EQ(samples.at(0).value, 2.5F);
  EXPECT_EQ(samples.at(1).value, -1.0F);
  EXPECT_EQ(samples.at(1).labels, (Strings{"y"}));
  EXPECT_MENTIONS(fault_in(settings, "a\tx\t2\nb\ty\teasy\n"), "t:2: \"easy\" is not a number");
  EXPECT_MENTIONS(fault_in(settings, "a\tx\n"), "t:1: no column \"3\" among its 2");
  settings.columns.label = "";
  EXPECT_MENTIONS(fault_in(settings, "a\tx\t2\n"),
                  "column 3 is to be both the score and the label");
  settings = settings_of(CorpusKind::kGeneration, CorpusFormat::kJsonl);
  settings.columns.score = "hard";
  const std::string line = R"({"source": "a", "target": "b", "hard": 7})";
  EXPECT_EQ(samples_of(settings, line).at(0).value, 0.0F) << "not a training file";
  settings.reads_score = true;
  EXPECT_EQ(samples_of(settings, line).at(0).value, 7.0F);
  EXPECT_MENTIONS(fault_in(settings, R"({"source": "a", "target": "b"})"), "t:1: no key \"hard\"");
}

TEST(JsonLines, EveryFaultNamesItsLine) {
  const SourceSettings settings = settings_of(CorpusKind::kClassification, CorpusFormat::kJsonl);
  const std::string good = R"({"text": "a", "label": "x"})"
                           "\n";
  EXPECT_MENTIONS(fault_in(settings, good + "{\"text\": \n"), "t:2: not JSON");
  EXPECT_MENTIONS(fault_in(settings, good + "[1]\n"), "t:2: JSON, but not an object");
  EXPECT_MENTIONS(fault_in(settings, good + "\n"), "t:2: empty line");
  EXPECT_MENTIONS(fault_in(settings, good + R"({"text": "a", "lable": 1})"),
                  "t:2: no key \"label\"; did you mean \"lable\"?");
  EXPECT_MENTIONS(fault_in(settings, good + R"({"text": 5, "label": 1})"),
                  "t:2: \"text\" is not a text");
  EXPECT_MENTIONS(fault_in(settings, good + R"({"text": " ", "label": 1})"),
                  "t:2: \"text\" is empty");
  EXPECT_MENTIONS(fault_in(settings, good + R"({"text": "a\u0000", "label": 1})"),
                  "a NUL character");
  EXPECT_MENTIONS(fault_in(settings, good + R"({"text": "a", "label": null})"), "no single label");
  EXPECT_MENTIONS(fault_in(settings, good + R"({"text": "a", "text_pair": "b", "label": 1})"),
                  "t:2: 2 texts, but the file's first line has 1");
  const SourceSettings words = settings_of(CorpusKind::kTagging, CorpusFormat::kJsonl);
  EXPECT_MENTIONS(fault_in(words, R"({"tokens": ["a", "b"], "tags": ["O"]})"),
                  "t:1: 2 tokens but 1 tags");
}

constexpr const char* kAnswers = R"({"version": "2.0", "data": [
 {"title": "t", "paragraphs": [{"context": "Café Müller in Köln", "qas": [
  {"id": "q1", "question": "Where?",
   "answers": [{"text": "Köln", "answer_start": 15}, {"text": "in", "answer_start": 12}]},
  {"id": "q2", "question": "When?", "answers": [], "is_impossible": true}]}]},
 {"title": "u", "paragraphs": [{"context": "so", "qas": []}, {"context": "One two", "qas": [
  {"id": "q3", "question": "Which?", "answers": [{"text": "One", "answer_start": 0}]},
  {"id": "q4", "question": "Which?", "answers": [{"text": "two", "answer_start": 3}]}]}]}]})";

TEST(Squad, AnswersAreFoundByCharactersAndGivenAsBytes) {
  BadLineList bad;
  const auto samples = samples_of(kSquad, kAnswers, &bad);
  ASSERT_EQ(samples.size(), 3U);
  EXPECT_EQ(samples[0].texts, (Strings{"Where?", "Café Müller in Köln"}));
  EXPECT_EQ(samples[0].texts[1].substr(
                static_cast<std::size_t>(samples[0].answer_begin),
                static_cast<std::size_t>(samples[0].answer_end - samples[0].answer_begin)),
            "Köln");
  EXPECT_EQ(samples[0].line, 3);
  EXPECT_EQ(samples[0].id, "q1");
  EXPECT_EQ(samples[0].answers, (Strings{"Köln", "in"}));
  EXPECT_TRUE(samples[1].answers.empty());
  EXPECT_EQ(samples[1].line, 5);
  EXPECT_EQ(samples[1].answer_begin, samples[1].answer_end);
  EXPECT_EQ(samples[2].texts[1], "One two");
  ASSERT_EQ(bad.count(), 1);  // q4: " tw" stands at character 3
  EXPECT_MENTIONS(bad.first()[0], "/t:8: the answer \"two\" does not stand at character 3");
}

TEST(Squad, FilesOfAnotherShapeAreRefused) {
  EXPECT_MENTIONS(fault_in(kSquad, "[1, 2"), "not a SQuAD file");
  EXPECT_MENTIONS(fault_in(kSquad, "{\"rows\": []}"), "not a SQuAD file");
  EXPECT_MENTIONS(fault_in(kSquad, R"({"data": [{"title": "x"}]})"),
                  "t:1: article 1 has no list \"paragraphs\"");
  EXPECT_MENTIONS(fault_in(kSquad, R"({"data": [{"paragraphs": [{"context": "c"}]}]})"),
                  "paragraph 1 of article 1 has no list \"qas\"");
  EXPECT_MENTIONS(
      fault_in(kSquad, R"({"data": [{"paragraphs": [{"context": "c", "qas": [{}]}]}]})"),
      "key 'question' not found");
  EXPECT_MENTIONS(fault_in(kSquad, R"({"data": [{"paragraphs": [{"context": "c", "qas": [
    {"id": "x", "question": "q", "answers": [{"text": "c", "answer_start": "0"}]}]}]}]})"),
                  "type must be number");
  EXPECT_MENTIONS(fault_in(kSquad, R"({"data": 5})"), "not a SQuAD file");
  // Reading goes on behind any of them.
  BadLineList bad;
  EXPECT_TRUE(samples_of(kSquad, R"({"data": [7, {"paragraphs": 7}, {"paragraphs": [7]},
    {"paragraphs": [{"context": 7, "qas": [7, {"question": "q"}]}]}]})",
                         &bad)
                  .empty());
  EXPECT_EQ(bad.count(), 5);
}

TEST(Squad, DamagedAnswersAreBadLines) {
  for (const char* answers :
       {"7", "[7]", "\"c\"", R"([{"text": "", "answer_start": 0}])", R"([{"text": "c"}])",
        R"([{"text": "c", "answer_start": -1}])", R"([{"text": "c", "answer_start": 1}])",
        R"([{"text": "c", "answer_start": 99}])", R"([{"text": 7, "answer_start": 0}])",
        R"([{"text": "c", "answer_start": 0}, {"answer_start": 0}])"}) {
    BadLineList bad;
    const std::string file = fmt::format(R"({{"data": [{{"paragraphs": [{{"context": "c", "qas": [
      {{"id": "x", "question": "q", "answers": {}}}, {{"id": "y", "question": "r"}}]}}]}}]}})",
                                         answers);
    const auto samples = samples_of(kSquad, file, &bad);
    EXPECT_EQ(bad.count(), 1) << answers;
    ASSERT_EQ(samples.size(), 1U) << answers;
    EXPECT_EQ(samples[0].id, "y") << answers;
  }
}

class ParallelText : public testing::Test {
 protected:
  std::vector<SourceSample> read(std::string_view source, std::string_view target,
                                 BadLineList* bad = nullptr) {
    const auto reader = open_source(
        settings_of(CorpusKind::kGeneration, CorpusFormat::kParallel),
        {{{folder_.write("a.en", source)}, {folder_.write("a.de", target)}}, {}, {}, bad});
    std::vector<SourceSample> samples;
    for (SourceSample sample; reader->next(sample);) samples.push_back(sample);
    return samples;
  }
  TestFolder folder_;
};

TEST_F(ParallelText, LinesBelongTogether) {
  const auto samples = read("a dog\r\na cat\n", "ein Hund\neine Katze");
  ASSERT_EQ(samples.size(), 2U);
  EXPECT_EQ(samples[1].texts, (Strings{"a cat", "eine Katze"}));
  EXPECT_EQ(samples[1].line, 2);
}

TEST_F(ParallelText, UnequalNumbersOfLinesAreBothNamed) {
  const std::string fault = fault_of<DataError>([&] { read("a\nb\nc\n", "x\n"); });
  EXPECT_MENTIONS(fault, "a.en has 3 lines, but ");
  EXPECT_MENTIONS(fault, "a.de has 1;");
  BadLineList bad;  // no line to leave out: the files do not belong together
  EXPECT_THROW(read("a\n", "x\ny\n", &bad), DataError);
}

TEST_F(ParallelText, ABadLineOnEitherSideLeavesBothOut) {
  BadLineList bad;
  const auto samples = read("a\n\xFF\n \nd\n", "w\nx\ny\nz\n", &bad);
  ASSERT_EQ(samples.size(), 2U);
  EXPECT_EQ(samples[1].texts, (Strings{"d", "z"}));
  ASSERT_EQ(bad.count(), 2);
  EXPECT_MENTIONS(bad.first()[0], "a.en:2: byte 0xFF");
  EXPECT_MENTIONS(bad.first()[1], "a.en:3: empty line");
}

}  // namespace
}  // namespace polyphase::text
