// SPDX-License-Identifier: Apache-2.0
#include "objective/crf_tagging.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "model/reference_run.hpp"
#include "objective/tagging.hpp"
#include "reference/crf.hpp"

namespace polyphase {
namespace {

const std::vector<std::string> kTags = {"O", "B-x", "I-x", "B-y", "I-y"};
constexpr std::int64_t kWidth = 6, kNumTags = 5;

// Three sentences, the second without a tagged word; a row in three carries no tag.
Batch test_batch() {
  Batch batch;
  batch.starts = {0, 6, 8, 15};
  batch.max_tokens = 7;
  batch.token_labels_N = {-1, 0, 1, -1, 2, 0, -1, -1, 3, 4, -1, 4, 0, 1, -1};
  for (std::int32_t n = 0; n < 32; ++n) {
    batch.tokens_N.push_back(0);
    batch.positions_N.push_back(n);
    batch.segments_N.push_back(0);
    batch.row_ids_N.push_back(n);
  }
  batch.token_labels_N.resize(32, -1);
  return batch;
}

// An objective on hidden states that no encoder made, with its parameters set by a formula.
struct HeadRun {
  Batch batch = test_batch();
  RankGrid grid = make_grid(*test_world, test_world->size());
  ParameterSet parameters;
  std::vector<std::byte> memory = std::vector<std::byte>(1 << 20);
  Arena arena = Arena(memory.data(), memory.size());
  Exec exec = {Space(), &arena};
  CrfTagging<float> objective = CrfTagging<float>(parameters, grid.tensor, model(), kTags);
  std::vector<float> hidden, dhidden;

  HeadRun() {
    parameters.allocate(1);
    for (const Parameter& parameter : parameters.all()) {
      for (std::int64_t i = 0; i < parameter.count; ++i) {
        parameters.values()(parameter.offset + i) =
            static_cast<float>(0.8 * std::sin(1.1 * static_cast<double>(i + parameter.offset)));
      }
    }
    for (std::int64_t i = 0; i < 32 * kWidth; ++i)
      hidden.push_back(static_cast<float>(std::cos(0.7 * static_cast<double>(i))));
  }

  static recipe::Model model() {
    recipe::Model model;
    model.width = kWidth;
    return model;
  }

  Tally run(bool training, float scale) {
    const ArenaScope scope(arena);
    parameters.begin_micro_batch(0);
    const Pass pass = begin_pass(exec, grid.tensor, batch, {}, training);
    dhidden.assign(hidden.size(), 0.0F);
    const Tally tally = objective.run(pass, Tensor2<const float>(hidden.data(), 32, kWidth),
                                      Tensor2<float>(dhidden.data(), 32, kWidth), scale);
    if (training) parameters.check_all_written();
    return tally;
  }

  float& value(const Parameter& parameter, std::int64_t i) {
    return parameters.values().data()[parameter.offset + i];
  }
};

// Emissions and scores in float64, rules applied, and the words of each sentence.
struct Exact {
  reference::Crf crf;
  std::vector<reference::Crf::Sentence> emissions;
  std::vector<reference::Crf::Path> labels;

  explicit Exact(HeadRun& run) {
    const TagRules rules = bio_rules(kTags);
    const auto values = [&](const char* name) {
      const Parameter& parameter = *run.parameters.find(name);
      const float* first = &run.value(parameter, 0);
      return std::vector<double>(first, first + parameter.count);
    };
    crf = {kNumTags, values("head.crf.transitions"), values("head.crf.start"),
           values("head.crf.end")};
    for (std::size_t i = 0; i < crf.transition.size(); ++i)
      if (rules.transition_KK[i] == 0) crf.transition[i] = kForbiddenScore;
    for (std::size_t k = 0; k < crf.start.size(); ++k)
      if (rules.start_K[k] == 0) crf.start[k] = kForbiddenScore;
    const std::vector<double> weight = values("head.tagging.output.weight"),
                              bias = values("head.tagging.output.bias");
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
  HeadRun run;
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
  EXPECT_EQ(tally.num_terms, run.objective.num_terms(run.batch));
  EXPECT_EQ(tally.counts[0], num_right);
  EXPECT_EQ(tally.counts[3], 3);  // x of two words, y of three, x of one
  EXPECT_EQ(run.objective.metrics(tally).at("loss"), tally.nats / num_words);
}

TEST(CrfTagging, GradientIsTheDifferenceOfLosses) {
  HeadRun run;
  constexpr double kStep = 1.0 / 256, kScale = 0.5;
  run.run(true, static_cast<float>(kScale));
  const std::vector<float> gradient(
      run.parameters.gradients(0).data(),
      run.parameters.gradients(0).data() + run.parameters.total_count());
  const std::vector<float> dhidden = run.dhidden;
  const auto difference = [&](float& x) {
    const float kept = x;
    x = static_cast<float>(kept + kStep);
    const double above = run.run(false, 0.0F).nats;
    x = static_cast<float>(kept - kStep);
    const double below = run.run(false, 0.0F).nats;
    x = kept;
    return kScale * (above - below) / (2 * kStep);
  };
  // A loss is wrong by 1e-5 at most, which the step divides; the cubic term is below h².
  const double error = kScale * (1e-5 / kStep + kStep * kStep);
  for (const Parameter& parameter : run.parameters.all()) {
    double largest = 0.0;
    for (std::int64_t i = 0; i < parameter.count; ++i) {
      const double slope = difference(run.value(parameter, i));
      EXPECT_NEAR(gradient[parameter.offset + i], slope, error) << parameter.spec.name << i;
      largest = std::max(largest, std::abs(slope));
    }
    EXPECT_GT(largest, 10 * error) << parameter.spec.name;
  }
  for (std::size_t i = 0; i < run.hidden.size(); ++i)
    EXPECT_NEAR(dhidden[i], difference(run.hidden[i]), error) << "hidden " << i;
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
