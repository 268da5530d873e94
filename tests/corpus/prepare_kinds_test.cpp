// SPDX-License-Identifier: Apache-2.0
// Corpora of every kind and format, prepared side by side.
#include <set>

#include "base/error.hpp"
#include "corpus/dataset.hpp"
#include "tests/corpus/prepare_fixture.hpp"
#include "tests/corpus/prepared_documents.hpp"

namespace polyphase {
namespace {

using Strings = std::vector<std::string>;
using Labels = std::vector<std::int32_t>;

class PrepareKindsTest : public PrepareTest {
 protected:
  PrepareKindsTest() {
    recipe_.corpora.resize(1);
    std::string rows, csv, json, words, squad, english, german, book;
    for (int i = 0; i < 60; ++i) {
      const std::string thing = kThings[i % 6], verb = kVerbs[i % 5];
      rows += fmt::format("{}\tthe {} {}\tit {}\t{}\n", i, thing, verb, verb, i / 8.0);
      csv += fmt::format("\"a \"\"{}\"\"\n{}, {}\",\"{}\"\n", thing, verb, i,
                         i % 3 == 0   ? ""
                         : i % 3 == 1 ? "x"
                                      : "y,x");
      json += fmt::format("{{\"prompt\": \"the {}\", \"answer\": \"{} {}\"}}\n", thing, verb, i);
      words += fmt::format(
          "# {}\n1\t{}\tx\tNOUN\tNN\t_\t0\troot\t_\t_\n2\t{}\tx\tVERB\tVB\t_\t1\t"
          "dep\t_\t_\n\n",
          i, thing, verb);
      squad +=
          fmt::format("{}{{\"id\": \"q{}\", \"question\": \"what {} {}?\", \"answers\": [{}]}}",
                      i > 0 ? "," : "", i, verb, i,
                      i % 4 == 0 ? "" : R"({"text": "grey heron", "answer_start": 12})");
      english += fmt::format("the {} {} {} of the days\n", thing, verb, i);
      german += fmt::format("{} {} {}\n", i, verb, thing);
      book += fmt::format("The  {} {}.\n{}", thing, verb, i % 5 == 0 ? "\n" : "");
    }
    squad =
        fmt::format(R"({{"data": [{{"paragraphs": [{{"context": "Café: a big grey heron, asleep",
"qas": [{}]}}]}}]}})",
                    squad);
    add("scores", CorpusKind::kRegression, CorpusFormat::kTsv, {write("s.tsv", rows)}).columns = {
        .text = "2", .text_pair = "3", .label = "4"};
    add("sets", CorpusKind::kMultiLabel, CorpusFormat::kCsv, {write("s.csv", csv)});
    add("prompts", CorpusKind::kGeneration, CorpusFormat::kJsonl, {write("p.jsonl", json)});
    add("words", CorpusKind::kTagging, CorpusFormat::kConllu, {write("w.conllu", words)});
    add("questions", CorpusKind::kQuestionAnswering, CorpusFormat::kSquad,
        {write("q.json", squad)});
    add("pairs", CorpusKind::kGeneration, CorpusFormat::kParallel,
        {write("a.en", english), write("a.de", german)});
    recipe::Corpus& raw = add("book", CorpusKind::kText, CorpusFormat::kText, {});
    raw.files = {write("book.txt", book)};
    raw.layout = TextLayout::kRaw;
    raw.valid_fraction = 0.1;
    add("rows", CorpusKind::kText, CorpusFormat::kTsv, {write("rows.tsv", rows)}).columns = {
        .text = "2", .text_pair = "3"};
    add("sentences", CorpusKind::kText, CorpusFormat::kConllu, {folder_.path("w.conllu")});
    recipe_.tokenizer.corpora = {"notes", "book", "questions", "sets"};
    recipe_.tokenizer.whitespace = recipe::WhiteSpace::kKeep;
    recipe_.tokenizer.vocab_size = 120;
  }

  std::string write(const std::string& name, const std::string& text) {
    texts_[name] = text;
    return folder_.write(name, text);
  }

  recipe::Corpus& add(const std::string& name, CorpusKind kind, CorpusFormat format,
                      const Strings& train) {
    recipe::Corpus corpus;
    corpus.name = name;
    corpus.kind = kind;
    corpus.format = format;
    corpus.train = train;
    recipe_.corpora.push_back(corpus);
    return recipe_.corpora.back();
  }

  recipe::Corpus& corpus(const std::string& name) {
    for (recipe::Corpus& each : recipe_.corpora) {
      if (each.name == name) return each;
    }
    throw std::logic_error(name);
  }

  std::vector<PreparedDocument> train_of(const std::string& name) const {
    return documents_of(folder_.path("data"), name, "train");
  }
  CorpusIndex index_of(const std::string& name) const {
    return read_corpus_index(folder_.path("data/" + name + "/corpus.json"));
  }

  std::map<std::string, std::string> texts_;
};

TEST_F(PrepareKindsTest, EveryFormatGivesTheSameBytesForAnyNumberOfRanks) {
  prepare("one", 1);
  const auto one = bytes_below("one");
  for (const char* cut : {"scores", "sets", "prompts", "words", "pairs"}) {
    EXPECT_TRUE(one.contains(std::string(cut) + "/train-0001.h5")) << cut << " was not cut";
  }
  EXPECT_FALSE(one.contains("questions/train-0001.h5"));
  for (const int num_ranks : {2, 5}) {
    const std::string data = fmt::format("ranks-{}", num_ranks);
    prepare(data, num_ranks);
    EXPECT_EQ(bytes_below(data), one) << num_ranks << " ranks";
  }
}

TEST_F(PrepareKindsTest, ScoresStandInTheTrainingPartAlone) {
  recipe::Corpus& scored = add("scored", CorpusKind::kClassification, CorpusFormat::kTsv,
                               {write("scored.tsv", "a heron\tbird\t3.5\na lamp\tthing\t-2\n")});
  scored.valid = {write("scored-valid.tsv", "a lamp\tthing\n")};
  scored.columns = {.text = "1", .label = "2", .score = "3"};
  prepare("data");
  const auto documents = train_of("scored");
  ASSERT_EQ(documents.size(), 2U);
  EXPECT_EQ(documents[0].sentences, (Strings{"a heron"}));
  EXPECT_EQ(documents[0].text.value, 3.5F);
  EXPECT_EQ(documents[1].text.value, -2.0F);
  EXPECT_EQ(documents[1].text.labels, (Labels{1}));
  EXPECT_EQ(documents_of(folder_.path("data"), "scored", "valid").at(0).text.value, 0.0F);
  const auto dataset = open_dataset(folder_.path("data"), "scored", "train");
  EXPECT_EQ(dataset->score_of_sample(0), 3.5);
  EXPECT_EQ(dataset->score_of_sample(1), -2.0);
}

TEST_F(PrepareKindsTest, ASecondRunLeavesEveryFormatAloneAndAChangedColumnDoesNot) {
  prepare("data");
  const auto before = inodes_below("data");
  prepare("data", 2);
  EXPECT_EQ(inodes_below("data"), before);
  corpus("scores").columns.text_pair = "";
  const PrepareSummary summary = prepare("data")[0];
  EXPECT_TRUE(summary.tokenizer_was_current);
  EXPECT_EQ(train_of("scores").at(3).sentences, (Strings{"the lamp waited"}));
  const auto after = inodes_below("data");
  EXPECT_EQ(after.at("sets/train-0000.h5"), before.at("sets/train-0000.h5"));
  EXPECT_NE(after.at("scores/train-0000.h5"), before.at("scores/train-0000.h5"));
  folder_.write("a.de", texts_.at("a.de") + "more\n");
  folder_.write("a.en", texts_.at("a.en") + "mehr\n");
  prepare("data");
  EXPECT_EQ(train_of("pairs").size(), 61U);
}

TEST_F(PrepareKindsTest, EveryKindHoldsWhatItsFilesSay) {
  prepare("data");
  const auto scores = train_of("scores");
  ASSERT_EQ(scores.size(), 60U);
  EXPECT_EQ(scores[9].sentences, (Strings{"the lamp turned", "it turned"}));
  EXPECT_EQ(scores[9].text.value, 1.125F);
  EXPECT_TRUE(index_of("scores").label_names.empty());
  const auto sets = train_of("sets");
  EXPECT_EQ(index_of("sets").label_names, (Strings{"x", "y"}));
  EXPECT_EQ(sets.at(0).text.labels, Labels{});
  EXPECT_EQ(sets.at(1).text.labels, (Labels{0}));
  EXPECT_EQ(sets.at(2).text.labels, (Labels{0, 1}));
  EXPECT_EQ(sets.at(1).sentences, (Strings{"a \"dog\"\nmoved, 1"}));
  EXPECT_EQ(train_of("prompts").at(7).sentences, (Strings{"the dog", "fell 7"}));
  EXPECT_EQ(train_of("pairs").at(59).sentences,
            (Strings{"the kettle turned 59 of the days", "59 turned kettle"}));
  EXPECT_EQ(index_of("words").label_names, (Strings{"NOUN", "VERB"}));
  EXPECT_EQ(train_of("words").at(2).sentences, (Strings{"heron fell"}));
}

TEST_F(PrepareKindsTest, AnswersBecomeTheTokensThatCoverThem) {
  prepare("data");
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder_.path("data/tokenizer.model"));
  const auto questions = train_of("questions");
  ASSERT_EQ(questions.size(), 60U);
  for (std::size_t i = 0; i < questions.size(); ++i) {
    const ShardText& text = questions[i].text;
    ASSERT_EQ(questions[i].sentences.size(), 2U);
    EXPECT_EQ(questions[i].sentences[1], "Café: a big grey heron, asleep");
    if (i % 4 == 0) {
      EXPECT_TRUE(text.labels.empty());
      continue;
    }
    ASSERT_EQ(text.labels.size(), 2U);
    ASSERT_GE(text.labels[0], text.sentence_starts[1]);
    ASSERT_LT(text.labels[1], text.sentence_starts[2]);
    const std::string answer = tokenizer.decode(
        {text.tokens.begin() + text.labels[0], text.tokens.begin() + text.labels[1] + 1});
    EXPECT_NE(answer.find("grey heron"), std::string::npos) << answer;
    EXPECT_LE(answer.size(), std::string("grey heron").size() + 8) << answer;
  }
}

TEST_F(PrepareKindsTest, ARawTextComesBackByteForByteAndItsTailValidates) {
  prepare("data", 2);
  std::string train, valid;
  for (const auto& document : documents_of(folder_.path("data"), "book", "train")) {
    for (const std::string& line : document.sentences) train += line;
  }
  for (const auto& document : documents_of(folder_.path("data"), "book", "valid")) {
    for (const std::string& line : document.sentences) valid += line;
  }
  const std::string& book = texts_.at("book.txt");
  EXPECT_EQ(train + valid, book);
  EXPECT_EQ(train.size(), static_cast<std::size_t>(0.9 * static_cast<double>(book.size())));
  const auto dataset = open_dataset(folder_.path("data"), "book", "train");
  EXPECT_EQ(dataset->num_bytes(), static_cast<std::int64_t>(train.size()));
  EXPECT_EQ(dataset->num_lines(), std::count(train.begin(), train.end(), '\n'));
  std::istringstream words(train);
  EXPECT_EQ(dataset->num_words(), std::distance(std::istream_iterator<std::string>(words), {}));
  EXPECT_EQ(index_of("book").layout, "raw");
  EXPECT_EQ(index_of("notes").layout, "sentences");
}

TEST_F(PrepareKindsTest, SentencesAreCountedAsTheyWereRead) {
  recipe_.corpora.resize(1);
  recipe_.tokenizer.corpora = {};
  recipe_.corpora[0].valid_fraction = 0;
  folder_.write("notes.txt", " One  two. \nThree\n\nFour.\n");
  recipe_.tokenizer.kind = recipe::TokenizerKind::kChar;
  prepare("data");
  const auto dataset = open_dataset(folder_.path("data"), "notes", "train");
  EXPECT_EQ(dataset->num_bytes(), 9 + 5 + 5);
  EXPECT_EQ(dataset->num_words(), 4);
  EXPECT_EQ(dataset->num_lines(), 3);
}

TEST_F(PrepareKindsTest, ARawTextNeedsATokenizerThatKeepsWhiteSpace) {
  recipe_.tokenizer.whitespace = recipe::WhiteSpace::kCollapse;
  EXPECT_MENTIONS(fault_of<RecipeError>([&] { prepare("data"); }),
                  "corpora.book.layout is raw, every byte");
}

TEST_F(PrepareKindsTest, BadLinesAreRefusedWithAllTheirPlaces) {
  std::string rows = texts_.at("s.tsv");
  for (int i = 0; i < 12; ++i) rows += fmt::format("{}\tthe cat\tit\tnone\n", i);
  const std::string path = write("s.tsv", rows);
  const std::string fault = fault_of<DataError>([&] { prepare("data"); });
  EXPECT_MENTIONS(fault, path + ":61: \"none\" is not a number");
  EXPECT_MENTIONS(fault, path + ":70: \"none\"");
  EXPECT_EQ(fault.find(":71:"), std::string::npos) << fault;
  EXPECT_MENTIONS(fault, path + ": 12 bad lines; correct them, or leave such lines out with");
}

TEST_F(PrepareKindsTest, SkippedLinesAreCountedAndNamedInTheIndex) {
  const std::string path =
      write("s.tsv", "0\tx\ty\tnone\n" + texts_.at("s.tsv") + "1\tx\n2\t \ty\t3\n");
  corpus("scores").bad_lines = BadLines::kSkip;
  recipe::Corpus& words = corpus("words");
  words.bad_lines = BadLines::kSkip;
  words.test = {write("t.conllu",
                      "1\ta\tx\tDET\tDT\t_\t0\troot\t_\t_\n\n"
                      "1\tcat\tx\tNOUN\tNN\t_\t0\troot\t_\t_\n\n")};
  const PrepareSummary summary = prepare("data", 2)[0];
  EXPECT_EQ(train_of("scores").size(), 60U);
  const SkippedLines skipped = index_of("scores").skipped.at("train");
  EXPECT_EQ(skipped.count, 3);
  ASSERT_EQ(skipped.first.size(), 3U);
  EXPECT_MENTIONS(skipped.first[0], path + ":1: \"none\"");
  EXPECT_MENTIONS(skipped.first[1], path + ":62: 2 columns");
  // A tag that the training part lacks.
  const SkippedLines tags = index_of("words").skipped.at("test");
  EXPECT_EQ(tags.count, 1);
  EXPECT_MENTIONS(tags.first.at(0), "t.conllu:1: label \"DET\" is not among the 2");
  EXPECT_FALSE(index_of("sets").skipped.contains("train"));
  for (const PreparedPart& part : summary.parts) {
    if (part.corpus == "scores") {
      EXPECT_EQ(part.num_skipped, 3);
    }
  }
  // What was left out is known to a run that has nothing to do, too.
  std::filesystem::remove(folder_.path("data/scores/corpus.json"));
  prepare("data");
  EXPECT_EQ(index_of("scores").skipped.at("train"), skipped);
}

TEST_F(PrepareKindsTest, ACorpusWithoutAnyLabelIsRefused) {
  write("s.csv", "a heron sat,\nthe owl slept,\n");
  EXPECT_MENTIONS(fault_of<DataError>([&] { prepare("data"); }),
                  "corpus sets: no sample of the training part carries a label");
}

TEST_F(PrepareKindsTest, AFileOfBadLinesOnlyIsRefused) {
  corpus("scores").bad_lines = BadLines::kSkip;
  write("s.tsv", "1\ta\tb\tx\n2\ta\tb\ty\n");
  EXPECT_MENTIONS(fault_of<DataError>([&] { prepare("data"); }),
                  "2 bad lines and no good one; correct them");
}

}  // namespace
}  // namespace polyphase
