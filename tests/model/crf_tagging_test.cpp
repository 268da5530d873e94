// SPDX-License-Identifier: Apache-2.0
#include "objective/crf_tagging.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "model/head_run.hpp"
#include "model/reference_run.hpp"
#include "objective/tagging.hpp"
#include "reference/crf.hpp"

namespace polyphase {
namespace {

const std::vector<std::string> kTags = {"O", "B-x", "I-x", "B-y", "I-y"};
constexpr std::int64_t kWidth = HeadRun::kWidth, kNumTags = 5;

// Three sentences, the second without a tagged word; a row in three carries no tag.
struct CrfRun : HeadRun {
  CrfRun()
      : HeadRun({6, 2, 7}, [](ParameterSet& parameters, const Communicator& tensor,
                              const recipe::Model& model) {
          return std::make_unique<CrfTagging<float>>(parameters, tensor, model, kTags);
        }) {
    batch.token_labels_N = {-1, 0, 1, -1, 2, 0, -1, -1, 3, 4, -1, 4, 0, 1, -1};
    batch.token_labels_N.resize(batch.tokens_N.size(), -1);
  }
};

// Emissions and scores in float64, rules applied, and the words of each sentence.
struct Exact {
  reference::Crf crf;
  std::vector<reference::Crf::Sentence> emissions;
  std::vector<reference::Crf::Path> labels;

  explicit Exact(HeadRun& run) {
    const TagRules rules = bio_rules(kTags);
    crf = {kNumTags, run.copy("head.crf.transitions"), run.copy("head.crf.start"),
           run.copy("head.crf.end")};
    for (std::size_t i = 0; i < crf.transition.size(); ++i)
      if (rules.transition_KK[i] == 0) crf.transition[i] = kForbiddenScore;
    for (std::size_t k = 0; k < crf.start.size(); ++k)
      if (rules.start_K[k] == 0) crf.start[k] = kForbiddenScore;
    const std::vector<double> weight = run.copy("head.tagging.output.weight"),
                              bias = run.copy("head.tagging.output.bias");
    for (std::int64_t b = 0; b < run.batch.num_sequences(); ++b) {
      emissions.emplace_back(), labels.emplace_back();
      for (std::int32_t n = run.batch.starts[b]; n < run.batch.starts[b + 1]; ++n) {
        if (run.batch.token_labels_N[n] < 0) continue;
        labels.back().push_back(run.batch.token_labels_N[n]);
        for (std::int64_t k = 0; k < kNumTags; ++k) {
          double emission = bias[k];
          for (std::int64_t c = 0; c < kWidth; ++c)
            emission += weight[k * kWidth + c] * run.hidden[n * kWidth + c];
          emissions.back().push_back(emission);
        }
      }
    }
  }
};

TEST(CrfTagging, LossAndTagsAreThoseOfAllPaths) {
  CrfRun run;
  const Exact exact(run);
  const Tally tally = run.run(false, 0.0F);
  double nats = 0.0;
  std::int64_t num_right = 0, num_words = 0;
  for (std::size_t b = 0; b < exact.labels.size(); ++b) {
    if (exact.labels[b].empty()) continue;
    nats += exact.crf.nats(exact.emissions[b], exact.labels[b]);
    const reference::Crf::Path best = exact.crf.best(exact.emissions[b]);
    for (std::size_t t = 0; t < best.size(); ++t) num_right += best[t] == exact.labels[b][t];
    num_words += static_cast<std::int64_t>(best.size());
  }
  EXPECT_NEAR(tally.nats, nats, 9 * 5e-6);  // nine words, scores below 6
  EXPECT_EQ(tally.num_terms, num_words);
  EXPECT_EQ(tally.num_terms, run.objective().num_terms(run.batch));
  EXPECT_EQ(tally.counts[0], num_right);
  EXPECT_EQ(tally.counts[3], 3);  // x of two words, y of three, x of one
  EXPECT_EQ(run.objective().metrics(tally).at("loss"), tally.nats / num_words);
}

TEST(CrfTagging, GradientIsTheDifferenceOfLosses) { CrfRun().check_gradients(20.0); }

TEST(CrfTagging, TakesOverTheHeadOfASoftmaxPhase) {
  ParameterSet crf, softmax;
  const RankGrid grid = solo_grid();
  const CrfTagging<bf16> one(crf, grid.tensor, HeadRun::model(), kTags);
  const Tagging<bf16> other(softmax, grid.tensor, HeadRun::model(), kTags);
  ASSERT_EQ(softmax.all().size(), 2U);
  for (const Parameter& parameter : softmax.all()) {
    ASSERT_NE(crf.find(parameter.spec.name), nullptr) << parameter.spec.name;
    EXPECT_EQ(crf.find(parameter.spec.name)->spec.global_shape, parameter.spec.global_shape);
  }
}

TEST(BioRules, ForbidWhatCannotGoOn) {
  const TagRules rules = bio_rules(kTags);
  EXPECT_EQ(rules.start_K, (std::vector<std::int32_t>{1, 1, 0, 1, 0}));
  EXPECT_EQ(rules.transition_KK, (std::vector<std::int32_t>{1, 1, 0, 1, 0,     // from O
                                                            1, 1, 1, 1, 0,     // from B-x
                                                            1, 1, 1, 1, 0,     // from I-x
                                                            1, 1, 0, 1, 1,     // from B-y
                                                            1, 1, 0, 1, 1}));  // from I-y
}

TEST(BioRules, DoNotHoldForOtherTagSets) {
  EXPECT_TRUE(bio_rules({"NOUN", "VERB", "INTJ"}).transition_KK.empty());
  EXPECT_TRUE(bio_rules({"O", "B-x", "I-x", "E-x"}).start_K.empty());
}

}  // namespace
}  // namespace polyphase
