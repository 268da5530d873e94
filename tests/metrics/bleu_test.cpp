// SPDX-License-Identifier: Apache-2.0
#include "metrics/bleu.hpp"

#include <gtest/gtest.h>

#include "metrics/chrf.hpp"
#include "metrics/reference_numbers.hpp"

namespace polyphase {
namespace {

// The translations and references of a case of the reference.
struct Corpus {
  std::vector<std::string> translations;
  std::vector<std::vector<std::string>> references;
};

Corpus corpus_of(const nlohmann::json& reference) {
  Corpus corpus;
  for (const std::size_t row : reference.at("rows")) {
    const nlohmann::json& pair = reference_numbers("translation").at("pairs")[row];
    corpus.translations.push_back(pair.at("translation"));
    auto references = pair.at("references").get<std::vector<std::string>>();
    references.resize(reference.at("references"));
    corpus.references.push_back(references);
  }
  return corpus;
}

TEST(Bleu, WordsAreThoseOfTokenizer13a) {
  for (const nlohmann::json& pair : reference_numbers("translation").at("pairs"))
    EXPECT_EQ(tokenize_13a(pair.at("translation").get<std::string>()),
              pair.at("tokens").get<std::string>());
}

TEST(Bleu, ScoresAndCountsAreThoseOfSacrebleu) {
  for (const nlohmann::json& reference : reference_numbers("translation").at("cases")) {
    const std::string name = reference.at("name");
    const Corpus corpus = corpus_of(reference);
    BleuCounts counts;
    for (std::size_t i = 0; i < corpus.translations.size(); ++i)
      counts += count_bleu(corpus.translations[i], corpus.references[i]);
    EXPECT_EQ(nlohmann::json(counts.correct), reference.at("counts")) << name;
    EXPECT_EQ(nlohmann::json(counts.total), reference.at("totals")) << name;
    EXPECT_EQ(counts.num_words, reference.at("words")) << name;
    EXPECT_EQ(counts.num_reference_words, reference.at("reference_words")) << name;
    const Bleu bleu = corpus_bleu(corpus.translations, corpus.references);
    expect_same_digits(bleu.score, reference.at("bleu"), name);
    expect_same_digits(bleu.brevity_penalty, reference.at("brevity_penalty"), name);
    for (int n = 0; n < kBleuOrder; ++n)
      expect_same_digits(bleu.precisions[n], reference.at("precisions")[n], name);
  }
}

TEST(Chrf, ScoresAreThoseOfSacrebleu) {
  for (const nlohmann::json& reference : reference_numbers("translation").at("cases")) {
    const Corpus corpus = corpus_of(reference);
    expect_same_digits(corpus_chrf(corpus.translations, corpus.references), reference.at("chrf"),
                       reference.at("name"));
  }
}

TEST(Bleu, TranslationsWithoutReferencesAreRefused) {
  EXPECT_THROW(count_bleu("word", {}), std::logic_error);
  EXPECT_THROW(count_chrf("word", {}), std::logic_error);
  EXPECT_THROW(corpus_bleu({"word"}, {}), std::logic_error);
  EXPECT_THROW(corpus_chrf({"word"}, {}), std::logic_error);
}

}  // namespace
}  // namespace polyphase
