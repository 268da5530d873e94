// SPDX-License-Identifier: Apache-2.0
#include "corpus/prepare.hpp"

#include <set>

#include "base/error.hpp"
#include "io/shard.hpp"
#include "tests/corpus/prepare_fixture.hpp"
#include "tests/corpus/prepared_documents.hpp"
#include "text/source.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {
namespace {

using Strings = std::vector<std::string>;

TEST_F(PrepareTest, ShardsAreTheSameBytesForAnyNumberOfRanks) {
  prepare("one", 1);
  const auto one = bytes_below("one");
  EXPECT_TRUE(one.contains("notes/train-0001.h5"));
  EXPECT_TRUE(one.contains("tags/train-0001.h5"));
  for (const int num_ranks : {2, 4, 7}) {
    const std::string data = fmt::format("ranks-{}", num_ranks);
    const auto summaries = prepare(data, num_ranks);
    EXPECT_EQ(bytes_below(data), one) << num_ranks << " ranks";
    EXPECT_GT(summaries.back().num_units, 0) << "the last rank had no work";
  }
}

TEST_F(PrepareTest, TextShardsHoldEveryDocumentOnceInOrder) {
  prepare("data");
  const auto reader = text::open_source({}, {{{recipe_.corpora[0].files[0]}}, {}, {}, nullptr});
  std::multiset<Strings> expected, found;
  text::SourceSample sample;
  while (reader->next(sample)) expected.insert(sample.texts);
  const auto train = documents_of(folder_.path("data"), "notes", "train");
  const auto valid = documents_of(folder_.path("data"), "notes", "valid");
  for (const auto& document : train) found.insert(document.sentences);
  for (const auto& document : valid) found.insert(document.sentences);
  EXPECT_EQ(found, expected);
  EXPECT_GT(valid.size(), 2U);  // about 12 of 120
  EXPECT_LT(valid.size(), 30U);
  EXPECT_EQ(train.front().sentences.size(), 2U);
}

TEST_F(PrepareTest, LabelsAreNumbersOfTheSortedNamesOfTheTrainingPart) {
  prepare("data");
  const CorpusIndex topics = read_corpus_index(folder_.path("data/topics/corpus.json"));
  EXPECT_EQ(topics.label_names, (Strings{"animal", "object"}));
  EXPECT_EQ(topics.kind, "classification");
  const auto test = documents_of(folder_.path("data"), "topics", "test");
  ASSERT_EQ(test.size(), 1U);
  EXPECT_EQ(test[0].text.labels, (std::vector<std::int32_t>{1}));
  EXPECT_EQ(test[0].sentences, (Strings{"a lamp that fell"}));

  const CorpusIndex tags = read_corpus_index(folder_.path("data/tags/corpus.json"));
  EXPECT_EQ(tags.label_names, (Strings{"B-size", "I-size", "O"}));
  const auto valid = documents_of(folder_.path("data"), "tags", "valid");
  ASSERT_EQ(valid.size(), 1U);
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder_.path("data/tokenizer.model"));
  const auto words = tokenizer.encode_words({"The", "cat"});
  std::vector<std::int32_t> labels(words.ids.size(), -1);
  labels[static_cast<std::size_t>(words.first_pieces[0])] = 2;
  labels[static_cast<std::size_t>(words.first_pieces[1])] = 0;
  EXPECT_EQ(valid[0].text.tokens, words.ids);
  EXPECT_EQ(valid[0].text.token_labels, labels);
}

TEST_F(PrepareTest, PairsOfTextsBecomeDocumentsOfTwoSentences) {
  recipe_.corpora[1].train = {
      folder_.write("pairs.tsv", "it fell\tit moved\tanimal\nx\tthe cat\tobject\n")};
  recipe_.corpora[1].valid = recipe_.corpora[1].test = {};
  prepare("data");
  const auto train = documents_of(folder_.path("data"), "topics", "train");
  ASSERT_EQ(train.size(), 2U);
  EXPECT_EQ(train[0].sentences, (Strings{"it fell", "it moved"}));
}

TEST_F(PrepareTest, SummaryCountsWhatTheIndicesHold) {
  const PrepareSummary summary = prepare("data", 2)[0];
  EXPECT_LE(summary.vocab_size, 90);
  EXPECT_FALSE(summary.tokenizer_was_current);
  std::map<std::string, std::int64_t> documents;
  for (const PreparedPart& part : summary.parts)
    documents[part.corpus + " " + part.part] = part.num_documents;
  EXPECT_EQ(documents.at("topics train"), 120);
  EXPECT_EQ(documents.at("topics valid"), 1);
  EXPECT_EQ(documents.at("notes train") + documents.at("notes valid"), 120);
  EXPECT_FALSE(documents.contains("tags test"));
}

TEST_F(PrepareTest, EqualDocumentsNeverStandOnBothSidesOfTheSplit) {
  std::string notes;
  for (int i = 0; i < 300; ++i) notes += fmt::format("Day {} was warm.\n\n", i % 30);
  folder_.write("notes.txt", notes);
  recipe_.corpora[0].valid_fraction = 0.3;
  prepare("data");
  std::set<Strings> train;
  for (const auto& document : documents_of(folder_.path("data"), "notes", "train")) {
    train.insert(document.sentences);
  }
  const auto valid = documents_of(folder_.path("data"), "notes", "valid");
  EXPECT_EQ(valid.size() % 10, 0U);
  for (const auto& document : valid) EXPECT_FALSE(train.contains(document.sentences));
}

TEST_F(PrepareTest, ASmallFractionStillLeavesADocumentOnEitherSide) {
  folder_.write("notes.txt", "The cat slept again.\n\nThe lamp fell down.\n");
  for (const double fraction : {1e-9, 0.999999}) {
    recipe_.corpora[0].valid_fraction = fraction;
    const std::string data = fmt::format("data-{}", fraction);
    prepare(data);
    EXPECT_EQ(documents_of(folder_.path(data), "notes", "train").size(), 1U);
    EXPECT_EQ(documents_of(folder_.path(data), "notes", "valid").size(), 1U);
  }
  folder_.write("notes.txt", "Only one document.\n");
  EXPECT_MENTIONS(fault_of<DataError>([&] { prepare("data"); }), "corpora.notes: one document");
}

TEST_F(PrepareTest, NamesFileAndLineOfAnUnknownLabel) {
  const std::string path =
      folder_.write("topics-valid.tsv", "a cat\tanimal\na chair\tobjects\nx\tzz\n");
  EXPECT_MENTIONS(fault_of<DataError>([&] { prepare("data"); }),
                  path +
                      ":2: label \"objects\" is not among the 2 of the training part; did you mean "
                      "\"object\"?");
  folder_.write("topics-valid.tsv", "a cat\tanimal\n");
  const std::string tags = folder_.write("tags-valid.conll", "The\tO\n\nold\tO\ncat\tB-colour\n");
  EXPECT_MENTIONS(fault_of<DataError>([&] { prepare("data"); }), tags + ":4: label \"B-colour\"");
}

TEST_F(PrepareTest, NamesTheSourceAtFaultBeforeAnythingIsTrained) {
  const auto fault = [&] { return fault_of<DataError>([&] { prepare("data"); }); };
  const std::string notes = recipe_.corpora[0].files[0];
  folder_.write("notes.txt", "fine\nnot \xFF fine\n");
  EXPECT_MENTIONS(fault(), notes + ":2: byte 0xFF");
  folder_.write("notes.txt", "");
  EXPECT_MENTIONS(fault(), notes + ": is empty");
  folder_.write("notes.txt", "\n \n");
  EXPECT_MENTIONS(fault(), notes + ": holds blank lines");
  std::filesystem::remove(notes);
  EXPECT_MENTIONS(fault(), notes + ": cannot be opened");
  std::filesystem::create_directory(notes);
  EXPECT_MENTIONS(fault(), notes + ": is a folder");
  EXPECT_FALSE(exists("data/tokenizer.model"));
  EXPECT_FALSE(exists("data/topics/corpus.json"));
}

TEST_F(PrepareTest, RefusesADataFolderThatIsAFile) {
  folder_.write("data", "x");
  EXPECT_MENTIONS(fault_of<SystemError>([&] { prepare("data"); }), "cannot be made a folder");
}

TEST_F(PrepareTest, UsesAGivenTokenizerAsItIs) {
  prepare("data");
  recipe_.tokenizer.model = folder_.path("data/tokenizer.model");
  const PrepareSummary summary = prepare("other")[0];
  EXPECT_TRUE(summary.tokenizer_was_current);
  EXPECT_EQ(bytes_below("other").at("tokenizer.model"), bytes_below("data").at("tokenizer.model"));
  EXPECT_EQ(bytes_below("other").at("notes/train-0000.h5"),
            bytes_below("data").at("notes/train-0000.h5"));
  folder_.write("data/tokenizer.model", "nonsense");
  EXPECT_MENTIONS(fault_of<DataError>([&] { prepare("third"); }), "not a SentencePiece model");
}

TEST_F(PrepareTest, ATokenizerFromASampleIsTheSameAgain) {
  PrepareOptions one = options("one"), two = options("two");
  one.max_tokenizer_sentences = two.max_tokenizer_sentences = 60;
  prepare_alone(recipe_, one);
  prepare_alone(recipe_, two);
  prepare("all");
  EXPECT_EQ(bytes_below("one"), bytes_below("two"));
  EXPECT_NE(bytes_below("one").at("tokenizer.model"), bytes_below("all").at("tokenizer.model"));
}

}  // namespace
}  // namespace polyphase
