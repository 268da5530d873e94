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
  explicit CrfRun(const SoftTargets& teacher = {})
      : HeadRun({6, 2, 7}, [&](ParameterSet& parameters, const Communicator& tensor,
                               const recipe::Model& model) {
          auto head = std::make_unique<CrfTagging<float>>(parameters, tensor, model, kTags);
          if (teacher.logits) head->learn_from(teacher);
          return head;
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

// A teacher whose scores are formulas.
struct CrfTeacher {
  std::vector<float> transition, start, end;
  test::Device device{1 << 16};

  CrfTeacher() {
    for (std::int64_t i = 0; i < kNumTags * kNumTags; ++i)
      transition.push_back(static_cast<float>(std::sin(2.3 * static_cast<double>(i))));
    for (std::int64_t k = 0; k < kNumTags; ++k) {
      start.push_back(static_cast<float>(std::cos(1.7 * static_cast<double>(k))));
      end.push_back(static_cast<float>(std::sin(0.4 + static_cast<double>(k))));
    }
  }
  static float emission(std::int64_t word, std::int64_t k) {
    return static_cast<float>(2.0 * std::cos(0.9 * static_cast<double>(word * kNumTags + k)));
  }
  SoftTargets targets(float temperature, float weight) {
    return {.logits =
                [](Tensor2<float> y_MK, std::int64_t) {
                  std::vector<float> y;
                  for (std::size_t m = 0; m < y_MK.extent(0); ++m)
                    for (std::int64_t k = 0; k < kNumTags; ++k) y.push_back(emission(m, k));
                  test::write_tensor(flat(y_MK), y);
                },
            .temperature = temperature,
            .weight = weight,
            .chain = {.transition_KK = device.put(transition, kNumTags, kNumTags),
                      .start_K = device.put(start),
                      .end_K = device.put(end)}};
  }
};

// With every score divided by the temperature; what rules forbid stays forbidden.
Exact tempered(Exact exact, double temperature) {
  for (auto* values : {&exact.crf.transition, &exact.crf.start, &exact.crf.end}) {
    for (double& value : *values)
      if (value != kForbiddenScore) value /= temperature;
  }
  for (reference::Crf::Sentence& emission : exact.emissions)
    for (double& value : emission) value /= temperature;
  return exact;
}

// (1 - weight) · nats + weight · T² · Σ over all paths of p · (log p - log q).
TEST(CrfTagging, TeachersSentencesAreLearntAsWholes) {
  CrfTeacher teacher;
  for (const float temperature : {1.0F, 2.5F}) {
    constexpr float kWeight = 0.75F;
    CrfRun run(teacher.targets(temperature, kWeight));
    const Exact exact(run);
    Exact taught = exact;
    for (std::size_t i = 0; i < teacher.transition.size(); ++i)
      if (exact.crf.transition[i] != kForbiddenScore)
        taught.crf.transition[i] = teacher.transition[i];
    for (std::size_t k = 0; k < teacher.start.size(); ++k) {
      if (exact.crf.start[k] != kForbiddenScore) taught.crf.start[k] = teacher.start[k];
      taught.crf.end[k] = teacher.end[k];
    }
    std::int64_t word = 0;
    for (reference::Crf::Sentence& emission : taught.emissions) {
      for (std::size_t i = 0; i < emission.size(); ++i)
        emission[i] = CrfTeacher::emission(word + i / kNumTags, i % kNumTags);
      word += static_cast<std::int64_t>(emission.size()) / kNumTags;
    }
    const Exact q = tempered(exact, temperature), p = tempered(taught, temperature);
    double hard = 0.0, soft = 0.0;
    for (std::size_t b = 0; b < exact.labels.size(); ++b) {
      if (exact.labels[b].empty()) continue;
      hard += exact.crf.nats(exact.emissions[b], exact.labels[b]);
      const double p_sum = p.crf.log_sum(p.emissions[b]), q_sum = q.crf.log_sum(q.emissions[b]);
      p.crf.each_path(static_cast<std::int64_t>(exact.labels[b].size()),
                      [&](const reference::Crf::Path& path) {
                        const double log_p = p.crf.score(p.emissions[b], path) - p_sum,
                                     log_q = q.crf.score(q.emissions[b], path) - q_sum;
                        soft += std::exp(log_p) * (log_p - log_q);
                      });
    }
    ASSERT_GT(soft, 0.5);
    const double square = static_cast<double>(temperature) * temperature;
    EXPECT_NEAR(run.run(true, 0.0F).nats, (1.0 - kWeight) * hard + kWeight * square * soft,
                square * 18 * 5e-6);                         // two fields of nine words each
    EXPECT_NEAR(run.run(false, 0.0F).nats, hard, 9 * 5e-6);  // evaluations know no teacher
    run.check_gradients(20.0 * square);
  }
}

TEST(CrfTagging, WhoSaysTheSameAsTheTeacherLearnsNothing) {
  CrfRun plain;
  const Exact exact(plain);
  CrfTeacher own;
  for (std::size_t i = 0; i < own.transition.size(); ++i)
    own.transition[i] = plain.values("head.crf.transitions")[i];
  for (std::int64_t k = 0; k < kNumTags; ++k) {
    own.start[k] = plain.values("head.crf.start")[k];
    own.end[k] = plain.values("head.crf.end")[k];
  }
  SoftTargets same = own.targets(2.0F, 1.0F);
  same.logits = [&](Tensor2<float> y_MK, std::int64_t) {
    std::vector<float> y;
    for (const reference::Crf::Sentence& emission : exact.emissions)
      y.insert(y.end(), emission.begin(), emission.end());
    y.resize(y_MK.size(), 0.0F);
    test::write_tensor(flat(y_MK), y);
  };
  CrfRun run(same);
  EXPECT_NEAR(run.run(true, 1.0F).nats, 0.0, 4 * 18 * 5e-6);
  for (const float slope : run.dhidden) EXPECT_NEAR(slope, 0.0F, 2 * 5 * 5e-6);
}

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
