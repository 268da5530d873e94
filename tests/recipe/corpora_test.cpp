// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

// Faults of the good recipe with one more corpus, described in YAML.
std::string faults_with(const std::string& corpus, const std::vector<std::string>& overrides = {}) {
  return faults_of(good_recipe_with("corpora:\n", "corpora:\n  more: " + corpus + "\n"), overrides);
}

Recipe recipe_with(const std::string& corpus, const std::vector<std::string>& overrides = {}) {
  return parse(good_recipe_with("corpora:\n", "corpora:\n  more: " + corpus + "\n"), "r.yaml",
               overrides);
}

void expect_says(const std::string& faults, const std::string& part) {
  EXPECT_NE(faults.find(part), std::string::npos) << faults;
}

TEST(Corpora, EveryKindHasItsDefaultFormat) {
  for (const CorpusKindRow& row : corpus_kinds()) {
    const Recipe recipe = recipe_with("{kind: " + row.name + ", train: [a, b]}");
    EXPECT_EQ(recipe.corpora[0].kind, row.kind);
    EXPECT_EQ(format_of(recipe.corpora[0]), row.formats.front()) << row.name;
  }
}

TEST(Corpora, EveryKeyIsReadAndWritten) {
  const Recipe recipe = recipe_with(
      "{kind: regression, format: csv, header: true, train: a.csv, bad_lines: skip,"
      " columns: {text: A, text_pair: B, label: 3}}",
      {"tokenizer.whitespace=keep", "tokenizer.byte_fallback=true"});
  const Recipe again = parse(resolved(recipe), "again");
  for (const Recipe& read : {recipe, again}) {
    const Corpus& corpus = read.corpora[0];
    EXPECT_EQ(corpus.kind, CorpusKind::kRegression);
    EXPECT_EQ(corpus.format, CorpusFormat::kCsv);
    EXPECT_TRUE(corpus.header);
    EXPECT_EQ(corpus.bad_lines, BadLines::kSkip);
    EXPECT_EQ(corpus.columns, (CorpusColumns{.text = "A", .text_pair = "B", .label = "3"}));
    EXPECT_EQ(read.tokenizer.whitespace, WhiteSpace::kKeep);
    EXPECT_TRUE(read.tokenizer.byte_fallback);
  }
  EXPECT_EQ(resolved(again), resolved(recipe));
}

TEST(Corpora, AFormatMustFitItsKind) {
  EXPECT_EQ(faults_with("{kind: tagging, format: csv, train: a}"),
            "r.yaml:6:16: corpora.more.format is csv, but the kind tagging is read from conll, "
            "conllu or jsonl");
  EXPECT_EQ(faults_with("{kind: generation, train: [a.en, a.de, b.en]}"),
            "r.yaml:6:35: corpora.more.train names 3 files; parallel text comes in pairs, source "
            "then target: [a.en, a.de]");
  expect_says(faults_with("{kind: tagging, format: xml, train: a}"),
              "corpora.more.format is \"xml\"");
  expect_says(faults_with("{kind: tagging, header: true, train: a}"),
              "corpora.more.header is for tsv and csv; the format is conll");
}

TEST(Corpora, RawTextNeedsATokenizerThatKeepsWhiteSpace) {
  const std::string raw = "{kind: text, layout: raw, files: a}";
  expect_says(faults_with(raw),
              "r.yaml:6:30: corpora.more.layout is raw, every byte of the text, "
              "but the tokenizer collapses white space");
  EXPECT_EQ(faults_with(raw, {"tokenizer.whitespace=keep"}), "");
  expect_says(faults_with("{kind: tagging, layout: raw, train: a}", {"tokenizer.whitespace=keep"}),
              "corpora.more.layout raw is for text files of kind text");
  expect_says(faults_with(raw, {"tokenizer.whitespace=keep", "tokenizer.lowercase=true"}),
              "tokenizer.whitespace keep leaves every character as it is, lowercase does not");
  expect_says(faults_with(raw, {"tokenizer.whitespace=keep", "tokenizer.kind=word"}),
              "use unigram, bpe or char");
}

TEST(Corpora, ColumnsMustBeThoseOfTheKindAndTheFormat) {
  expect_says(faults_with("{kind: classification, train: a, columns: {tag: 2}}"),
              "corpora.more.columns.tag is no column of the kind classification");
  expect_says(faults_with("{kind: classification, train: a, columns: {lable: 2}}"),
              "did you mean \"label\"?");
  expect_says(faults_with("{kind: classification, train: a, columns: {label: judged}}"),
              "without a header expected the number of a column, from 1");
  EXPECT_EQ(faults_with("{kind: classification, header: true, train: a, columns: {label: judged}}"),
            "");
  EXPECT_EQ(faults_with("{kind: tagging, train: a, columns: {token: 1, tag: 3}}"), "");
  expect_says(faults_with("{kind: tagging, train: a, columns: {tag: 0}}"),
              "the number of a column");
  EXPECT_EQ(faults_with("{kind: tagging, format: conllu, train: a, columns: {tag: xpos}}"), "");
  expect_says(faults_with("{kind: tagging, format: conllu, train: a, columns: {tag: lemma}}"),
              "expected upos, xpos, feats or deprel");
  expect_says(faults_with("{kind: question_answering, train: a, columns: {text: x}}"),
              "is no column of the kind question_answering; remove it");
  expect_says(faults_with("{kind: generation, train: [a, b], columns: {source: x}}"),
              "the format parallel has no columns");
  EXPECT_EQ(faults_with("{kind: generation, format: jsonl, train: a, columns: {source: x}}"), "");
  EXPECT_EQ(faults_with("{kind: text, format: tsv, files: a, columns: {text: 1, text_pair: 2}}"),
            "");
  expect_says(faults_with("{kind: text, format: tsv, files: a, columns: {text: 1, label: 2}}"),
              "is no column of the kind text");
  expect_says(faults_with("{kind: text, format: conllu, files: a, columns: {text: 2}}"),
              "the words of conllu are its column FORM; remove the key");
}

}  // namespace
}  // namespace polyphase::recipe
