// SPDX-License-Identifier: Apache-2.0
// Well-known data sets, each with a few lines of recipe. They are no part of this repository: the
// tests look for them in the folder POLYPHASE_TEST_DATA of the environment, else in shared/data
// beside the repository, and are skipped when they are not there.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "corpus/dataset.hpp"
#include "corpus/prepare.hpp"
#include "recipe/load.hpp"
#include "tests/corpus/prepared_documents.hpp"
#include "tests/text/text_file.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTokenizer = "tokenizer: {kind: char, vocab_size: 2000, whitespace: keep}\n";
constexpr const char* kPhases =
    "phases: [{name: p, objectives: {mlm: 1}, data: {any: 1}, stop: {steps: 1}}]\n";

class PublicDataTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* given = std::getenv("POLYPHASE_TEST_DATA");
    sources_ = given != nullptr ? given : POLYPHASE_SHARED_DATA;
    if (fs::is_directory(sources_)) return;
    std::cerr << "SKIPPED: no data sets in " << sources_
              << "; set POLYPHASE_TEST_DATA to their folder\n";
    GTEST_SKIP();
  }

  // Prepares the corpora that `corpora` describes, in YAML.
  void prepare(const std::string& corpora) {
    const std::string text = "name: any\nfolder: " + sources_ + "\n" + kTokenizer + "corpora:\n" +
                             "  any: {kind: text, files: [sick/readme.txt]}\n" + corpora + kPhases;
    recipe::Recipe recipe = recipe::parse(text, "recipe");
    recipe::check_files(recipe);
    recipe::resolve(recipe);
    PrepareOptions options;
    options.data_dir = folder_.path("data");
    prepare_alone(recipe, options);
  }

  std::shared_ptr<Dataset> open(const std::string& corpus, const std::string& part) const {
    return open_dataset(folder_.path("data"), corpus, part);
  }

  // Numbers of documents of train, valid and test; -1: no such part.
  std::vector<std::int64_t> counts_of(const std::string& corpus) const {
    const CorpusIndex index = read_corpus_index(folder_.path("data/" + corpus + "/corpus.json"));
    std::vector<std::int64_t> counts;
    for (const char* part : {"train", "valid", "test"}) {
      counts.push_back(index.splits.contains(part) ? open(corpus, part)->num_documents() : -1);
    }
    return counts;
  }

  using Counts = std::vector<std::int64_t>;
  std::string sources_;
  TestFolder folder_;
};

TEST_F(PublicDataTest, TinyShakespeareAndWikiText2AreKeptByteForByte) {
  prepare(R"(
  shakespeare: {kind: text, layout: raw, files: tinyshakespeare/input.txt, valid_fraction: 0.1}
  wiki: {kind: text, layout: raw, files: wikitext-2/train.txt, valid: wikitext-2/valid.txt,
         test: wikitext-2/test.txt}
)");
  EXPECT_EQ(open("shakespeare", "train")->num_bytes(), 1003854);
  EXPECT_EQ(open("shakespeare", "valid")->num_bytes(), 111540);
  EXPECT_EQ(open("shakespeare", "train")->num_tokens(), 1003854);  // one a character
  std::string text;
  for (const char* part : {"train", "valid"}) {
    for (const auto& document : documents_of(folder_.path("data"), "shakespeare", part)) {
      for (const std::string& line : document.sentences) text += line;
    }
  }
  std::ifstream file(sources_ + "/tinyshakespeare/input.txt", std::ios::binary);
  EXPECT_TRUE(text == std::string(std::istreambuf_iterator<char>(file), {}));
  const auto wiki = open("wiki", "train");
  EXPECT_EQ(wiki->num_bytes(), 10797148);
  EXPECT_EQ(wiki->num_words(), 2051910);
  EXPECT_EQ(wiki->num_lines(), 36718);
  EXPECT_EQ(open("wiki", "valid")->num_words(), 213886);
  EXPECT_EQ(open("wiki", "test")->num_words() + open("wiki", "test")->num_lines(), 245569);
}

TEST_F(PublicDataTest, SickGivesClassesAndScoresFromTheSameFiles) {
  prepare(R"(
  entailment:
    {kind: classification, header: true, train: sick/SICK_train.txt, valid: sick/SICK_trial.txt,
     test: sick/SICK_test_annotated.txt,
     columns: {text: sentence_A, text_pair: sentence_B, label: entailment_judgment}}
  relatedness:
    {kind: regression, header: true, train: sick/SICK_train.txt, valid: sick/SICK_trial.txt,
     test: sick/SICK_test_annotated.txt,
     columns: {text: sentence_A, text_pair: sentence_B, label: relatedness_score}}
)");
  EXPECT_EQ(counts_of("entailment"), (Counts{4500, 500, 4927}));
  EXPECT_EQ(counts_of("relatedness"), (Counts{4500, 500, 4927}));
  const auto test = open("entailment", "test");
  EXPECT_EQ(test->label_names(),
            (std::vector<std::string>{"CONTRADICTION", "ENTAILMENT", "NEUTRAL"}));
  Counts classes(3);
  ShardText document;
  for (std::int64_t d = 0; d < test->num_documents(); ++d) {
    test->read_document(d, document);
    ASSERT_EQ(document.sentence_starts.size(), 3U);
    ++classes.at(static_cast<std::size_t>(document.labels.at(0)));
  }
  EXPECT_EQ(classes, (Counts{720, 1414, 2793}));
  const auto scores = open("relatedness", "test");
  for (std::int64_t d = 0; d < scores->num_documents(); ++d) {
    scores->read_document(d, document);
    ASSERT_GE(document.value, 1.0F);
    ASSERT_LE(document.value, 5.0F);
  }
}

TEST_F(PublicDataTest, Sst2NeedsNothingButItsFiles) {
  prepare(R"(
  sentiment: {kind: classification, train: sst-2/train.tsv, valid: sst-2/dev.tsv,
              test: sst-2/test.tsv}
)");
  EXPECT_EQ(counts_of("sentiment"), (Counts{6920, 872, 1821}));
  EXPECT_EQ(open("sentiment", "train")->label_names(), (std::vector<std::string>{"0", "1"}));
}

TEST_F(PublicDataTest, UdEnglishEwtGivesUniversalTags) {
  prepare(R"(
  tags: {kind: tagging, format: conllu, train: ud-english-ewt/en_ewt-ud-train.conllu,
         valid: ud-english-ewt/en_ewt-ud-dev.conllu, test: ud-english-ewt/en_ewt-ud-test.conllu}
)");
  EXPECT_EQ(counts_of("tags"), (Counts{12544, 2001, 2077}));
  const auto test = open("tags", "test");
  EXPECT_EQ(test->label_names().size(), 17U);
  std::int64_t num_words = 0;
  ShardText document;
  for (std::int64_t d = 0; d < test->num_documents(); ++d) {
    test->read_document(d, document);
    for (const std::int32_t label : document.token_labels) num_words += label >= 0 ? 1 : 0;
  }
  EXPECT_EQ(num_words, 25094);
}

TEST_F(PublicDataTest, Multi30kIsReadAsPairsOfFiles) {
  prepare(R"(
  translation: {kind: generation, train: [multi30k-en-de/train.en, multi30k-en-de/train.de],
                valid: [multi30k-en-de/val.en, multi30k-en-de/val.de],
                test: [multi30k-en-de/test_2016_flickr.en, multi30k-en-de/test_2016_flickr.de]}
)");
  EXPECT_EQ(counts_of("translation"), (Counts{29000, 1014, 1000}));
}

TEST_F(PublicDataTest, EveryAnswerOfXquadIsCoveredByItsTokens) {
  prepare("  answers: {kind: question_answering, train: xquad-en/xquad.en.json}\n");
  EXPECT_EQ(counts_of("answers"), (Counts{1190, -1, -1}));
  const auto train = open("answers", "train");
  ShardText document;
  for (std::int64_t d = 0; d < train->num_documents(); ++d) {
    train->read_document(d, document);
    ASSERT_EQ(document.labels.size(), 2U);
    ASSERT_GE(document.labels[0], document.sentence_starts[1]);
    ASSERT_LE(document.labels[0], document.labels[1]);
    ASSERT_LT(document.labels[1], document.sentence_starts[2]);
  }
}

}  // namespace
}  // namespace polyphase
