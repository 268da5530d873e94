// SPDX-License-Identifier: Apache-2.0
#include "corpus/training_samples.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/error.hpp"
#include "tests/corpus/corpus_fixture.hpp"

namespace polyphase {
namespace {

class TrainingSamplesTest : public CorpusTest {
 protected:
  // Document d has 1 + d mod 10 tokens, all `first` + d.
  std::shared_ptr<Dataset> stairs(int num_documents, std::int32_t first = 100) {
    std::vector<TestDocument> documents;
    for (int d = 0; d < num_documents; ++d) {
      documents.push_back(
          {.sentences = {std::vector<std::int32_t>(1 + d % 10, first + d)}, .label = d % 3});
    }
    return make(DatasetKind::kClassification, documents);
  }
  static SampleSettings classes() {
    return {.kinds = {SampleKind::kClassification}, .max_tokens = 16, .seed = 3, .phase = 8};
  }
  // The samples of corpus 0 that an epoch holds.
  static std::multiset<std::int64_t> epoch_of(TrainingSamples& samples, std::int64_t epoch) {
    std::multiset<std::int64_t> seen;
    const std::int64_t n = samples.samples_per_epoch();
    for (std::int64_t g = epoch * n; g < (epoch + 1) * n; ++g) seen.insert(samples.at(g).sample);
    return seen;
  }
};

TEST_F(TrainingSamplesTest, FilterKeepsTheLengthsThatItNamesAndEachOnceAnEpoch) {
  TrainingSamples samples({{.dataset = stairs(100), .choice = {.min_tokens = 3, .max_tokens = 4}}},
                          classes(), {});
  EXPECT_EQ(samples.samples_per_epoch(), 20);
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    const auto seen = epoch_of(samples, epoch);
    EXPECT_EQ(std::set<std::int64_t>(seen.begin(), seen.end()).size(), 20U);
    for (const std::int64_t sample : seen) EXPECT_TRUE(sample % 10 == 2 || sample % 10 == 3);
  }
}

TEST_F(TrainingSamplesTest, LengthOfALabelledSampleIsThatOfAllItsTexts) {
  const auto pairs =
      make(DatasetKind::kClassification, {{.sentences = {{10, 11}, {12, 13, 14}}, .label = 0},
                                          {.sentences = {{20}, {21}}, .label = 1}});
  EXPECT_EQ(pairs->num_tokens_of_sample(0), 5);
  EXPECT_EQ(pairs->num_tokens_of_sample(1), 2);
}

TEST_F(TrainingSamplesTest, LengthOfRunningTextIsThatOfItsFirstSentenceInAnyShard) {
  const auto text = dataset_of(
      DatasetKind::kText,
      {write_shard(DatasetKind::kText, {{.sentences = {{10, 11, 12}, {13}}}}),
       write_shard(DatasetKind::kText,
                   {{.sentences = {{20, 21}}}, {.sentences = {{22}, {23, 24, 25, 26}}}})});
  std::vector<std::int64_t> lengths;
  for (std::int64_t sample = 0; sample < text->num_samples(); ++sample)
    lengths.push_back(text->num_tokens_of_sample(sample));
  EXPECT_EQ(lengths, (std::vector<std::int64_t>{3, 1, 2, 1, 4}));
  TrainingSamples samples({{.dataset = text, .choice = {.min_tokens = 2}}},
                          {.masked_language_model = false, .max_tokens = 16}, {});
  EXPECT_EQ(epoch_of(samples, 0), (std::multiset<std::int64_t>{0, 2, 4}));
}

// The few labels of the corpus stay those; the phase's cap counts what passes.
TEST_F(TrainingSamplesTest, CapOfTheCorpusComesBeforeTheFilterAndThePhasesBehind) {
  const auto dataset = stairs(1000);
  TrainingSamples few({{.dataset = dataset, .choice = {.max_of_corpus = 200}}}, classes(), {});
  TrainingSamples filtered(
      {{.dataset = dataset, .choice = {.max_of_corpus = 200, .min_tokens = 6}}}, classes(), {});
  TrainingSamples capped(
      {{.dataset = dataset, .choice = {.max_of_corpus = 200, .min_tokens = 6, .max_of_phase = 30}}},
      classes(), {});
  const auto all = epoch_of(few, 0), passing = epoch_of(filtered, 0), kept = epoch_of(capped, 0);
  EXPECT_EQ(all.size(), 200U);
  EXPECT_EQ(kept.size(), 30U);
  std::multiset<std::int64_t> expected;
  for (const std::int64_t sample : all) {
    if (sample % 10 >= 5) expected.insert(sample);
  }
  EXPECT_EQ(passing, expected);
  EXPECT_TRUE(std::includes(passing.begin(), passing.end(), kept.begin(), kept.end()));
}

TEST_F(TrainingSamplesTest, FilterThatLeavesNothingIsRefused) {
  const std::vector<TrainingSource> sources = {
      {.dataset = stairs(50), .choice = {.min_tokens = 11}}};
  try {
    const TrainingSamples samples(sources, classes(), {});
    FAIL() << "accepted";
  } catch (const RecipeError& error) {
    EXPECT_STREQ(error.what(),
                 "corpus (train): of 50 samples the phase's filter leaves none; widen min_tokens "
                 "(11) and max_tokens (none)");
  }
}

TEST_F(TrainingSamplesTest, MixtureWalksThroughEachCorpusByItsOwnEpochs) {
  const auto a = stairs(30), b = stairs(20, 500);
  TrainingSamples samples({{.dataset = a, .weight = 3.0}, {.dataset = b, .weight = 1.0}}, classes(),
                          {});
  EXPECT_EQ(samples.quotas(), (std::vector<std::int64_t>{3, 1}));
  EXPECT_EQ(samples.samples_per_epoch(), 50);
  std::map<std::pair<std::size_t, std::int64_t>, std::multiset<std::int64_t>> by_epoch;
  for (std::int64_t g = 0; g < 240; ++g) {  // 180 of a, 60 of b
    const TrainingSamples::Choice choice = samples.at(g);
    by_epoch[{choice.corpus, choice.epoch}].insert(choice.sample);
    Sample sample;
    samples.make(g, sample);
    EXPECT_EQ(sample.tokens[1], (choice.corpus == 0 ? 100 : 500) + choice.sample);
  }
  ASSERT_EQ(by_epoch.size(), 6U + 3U);
  for (const auto& [place, seen] : by_epoch) {
    EXPECT_EQ(seen.size(), place.first == 0 ? 30U : 20U);
    EXPECT_EQ(std::set<std::int64_t>(seen.begin(), seen.end()).size(), seen.size());
  }
}

TEST_F(TrainingSamplesTest, TemperatureCountsTheSamplesThatAreTrainedOn) {
  TrainingSamples samples(
      {{.dataset = stairs(1000), .choice = {.max_of_corpus = 90}}, {.dataset = stairs(10)}},
      classes(), {.temperature = 2.0});
  EXPECT_EQ(samples.quotas(), (std::vector<std::int64_t>{3, 1}));
}

TEST_F(TrainingSamplesTest, CorpusWithoutAPlaceInTheMixtureIsRefused) {
  const std::vector<TrainingSource> sources = {{.dataset = stairs(10), .weight = 1.0},
                                               {.dataset = stairs(10), .weight = 1e-4}};
  EXPECT_THROW(TrainingSamples(sources, classes(), {}), RecipeError);
}

TEST_F(TrainingSamplesTest, CurriculumTakesTheEasiestOfEachCorpusAndThenAll) {
  const auto a = stairs(100), b = stairs(50, 500);
  const TrainingPlan plan = {.curriculum = {.start = 0.1, .steps = 20}, .sizes = {.sequences = 10}};
  TrainingSamples samples({{.dataset = a}, {.dataset = b}}, classes(), plan);
  std::int64_t longest = 0;
  for (std::int64_t g = 0; g < 200; ++g) {
    const TrainingSamples::Choice choice = samples.at(g);
    // Both corpora have a tenth of each length from 1 to 10.
    const double share = competence(plan.curriculum, g / 10);
    const std::int64_t length = 1 + choice.sample % 10;
    EXPECT_LE(length, static_cast<std::int64_t>(std::ceil(share * 10 - 1e-9))) << g;
    EXPECT_TRUE(g >= 10 || length == 1) << g;
    longest = std::max(longest, length);
  }
  EXPECT_GE(longest, 9);
  std::map<std::size_t, std::multiset<std::int64_t>> seen;  // one whole epoch of both
  for (std::int64_t g = 200; g < 400; ++g) {
    const TrainingSamples::Choice choice = samples.at(g);
    if (choice.epoch == 1 || choice.corpus == 1) seen[choice.corpus].insert(choice.sample);
  }
  EXPECT_EQ(std::set<std::int64_t>(seen[0].begin(), seen[0].end()).size(), 100U);
  EXPECT_EQ(std::set<std::int64_t>(seen[1].begin(), seen[1].end()).size(), 50U);
}

TEST_F(TrainingSamplesTest, CurriculumMayGoByScores) {
  std::vector<TestDocument> documents;
  for (int d = 0; d < 40; ++d)
    documents.push_back(
        {.sentences = {{100}}, .label = 0, .value = static_cast<float>((7 * d) % 40)});
  const TrainingPlan plan = {.curriculum = {.by_score = true, .start = 0.25, .steps = 10},
                             .sizes = {.sequences = 20}};
  TrainingSamples samples({{.dataset = make(DatasetKind::kClassification, documents, true)}},
                          classes(), plan);
  std::set<std::int64_t> scores;
  for (std::int64_t g = 0; g < 20; ++g) scores.insert(7 * samples.at(g).sample % 40);
  EXPECT_LT(*scores.rbegin(), 10);
  EXPECT_GT(scores.size(), 5U);
}

// Windows move from one epoch of their own corpus to the next, not between.
TEST_F(TrainingSamplesTest, FewWindowsMoveWithTheirOwnEpochs) {
  std::vector<std::int32_t> tokens;
  for (std::int32_t token = 10; token < 310; ++token) tokens.push_back(token);
  const auto dataset = make(DatasetKind::kText, {{.sentences = {tokens}}});
  TrainingSamples samples(
      {{.dataset = dataset, .choice = {.max_of_phase = 3}}, {.dataset = dataset, .weight = 0.5}},
      {.kinds = {SampleKind::kCausal}, .max_tokens = 16}, {});
  std::map<std::int64_t, std::set<std::int32_t>> heads;  // of windows, less those before them
  for (std::int64_t g = 0; g < 36; ++g) {
    const TrainingSamples::Choice choice = samples.at(g);
    if (choice.corpus != 0) continue;
    Sample sample;
    samples.make(g, sample);
    heads[choice.epoch].insert(sample.targets.labels.front() -
                               static_cast<std::int32_t>(16 * choice.sample));
  }
  ASSERT_EQ(heads.size(), 8U);
  std::set<std::int32_t> all;
  for (const auto& [epoch, offsets] : heads) {
    EXPECT_EQ(offsets.size(), 1U) << "epoch " << epoch;
    all.insert(offsets.begin(), offsets.end());
  }
  EXPECT_GT(all.size(), 1U);
}

}  // namespace
}  // namespace polyphase
