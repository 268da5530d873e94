// SPDX-License-Identifier: Apache-2.0
#include "objective/mixup.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "model/gradients.hpp"
#include "model/head_run.hpp"
#include "objective/classification.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kNumSequences = 4, kNumClasses = 3;
constexpr MixUp kMixUp = {.alpha = 0.5, .key = 99};
const std::string kHead = "head.classification.output";

HeadRun make_run(const MixUp& mixup, const SoftmaxLoss& loss) {
  return HeadRun({5, 1, 9, 4}, [=](ParameterSet& parameters, const Communicator& tensor,
                                   const recipe::Model& model) {
    return std::make_unique<Classification<float>>(parameters, tensor, model,
                                                   recipe::Task{.pooling = recipe::Pooling::kMean},
                                                   kNumClasses, loss, mixup);
  });
}

// Rows of the batch as those of samples from `first` on.
void number_samples(Batch& batch, std::uint64_t first) {
  for (std::int64_t b = 0; b < batch.num_sequences(); ++b) {
    for (std::int32_t n = batch.starts[b]; n < batch.starts[b + 1]; ++n)
      batch.row_ids_N[n] = ((first + b) << 16) | static_cast<std::uint64_t>(n - batch.starts[b]);
  }
}

// The pooled states, in float64.
std::vector<double> pooled(const HeadRun& run) {
  std::vector<double> x_BC(kNumSequences * HeadRun::kWidth, 0.0);
  for (std::int64_t b = 0; b < kNumSequences; ++b) {
    const std::int32_t begin = run.batch.starts[b], end = run.batch.starts[b + 1];
    for (std::int32_t n = begin; n < end; ++n) {
      for (std::int64_t c = 0; c < HeadRun::kWidth; ++c)
        x_BC[b * HeadRun::kWidth + c] +=
            double{run.hidden[n * HeadRun::kWidth + c]} / (end - begin);
    }
  }
  return x_BC;
}

// The loss by its definition: a mixed state is compared with the mixture of both one-hot labels,
// smoothed and weighed as the labels are.
double mixed_loss(HeadRun& run, const SoftmaxLoss& loss) {
  const MixedPairs pairs = draw_pairs(kMixUp, run.batch);
  const std::vector<double> x_BC = pooled(run), weight = run.copy(kHead + ".weight"),
                            bias = run.copy(kHead + ".bias");
  double nats = 0.0;
  for (std::int64_t b = 0; b < kNumSequences; ++b) {
    const std::int64_t other = (b + pairs.shift) % kNumSequences;
    const double share = pairs.share_B[b];
    std::vector<double> logits(kNumClasses), target(kNumClasses, 0.0);
    double sum = 0.0;
    for (std::int64_t k = 0; k < kNumClasses; ++k) {
      logits[k] = bias[k];
      for (std::int64_t c = 0; c < HeadRun::kWidth; ++c) {
        const std::int64_t width = HeadRun::kWidth;
        logits[k] += weight[k * width + c] *
                     (share * x_BC[b * width + c] + (1.0 - share) * x_BC[other * width + c]);
      }
      sum += std::exp(logits[k]);
    }
    for (const auto& [sequence, part] : {std::pair{b, share}, std::pair{other, 1.0 - share}}) {
      const std::int32_t label = run.batch.sequence_labels_B[sequence];
      const double weighed = part * loss.class_weights[label];
      for (std::int64_t k = 0; k < kNumClasses; ++k)
        target[k] += weighed * double{loss.label_smoothing} / kNumClasses;
      target[label] += weighed * (1.0 - double{loss.label_smoothing});
    }
    for (std::int64_t k = 0; k < kNumClasses; ++k) nats -= target[k] * (logits[k] - std::log(sum));
  }
  return nats;
}

TEST(MixUp, LossIsThatOfMixedStatesAndMixedLabels) {
  const SoftmaxLoss loss = {.label_smoothing = 0.1F, .class_weights = {0.5F, 2.0F, 1.0F}};
  HeadRun run = make_run(kMixUp, loss);
  run.batch.sequence_labels_B = {2, 0, 1, 1};
  for (const std::uint64_t first : {0U, 40U, 80U}) {
    number_samples(run.batch, first);
    const Tally tally = run.run(true, 1.0F);
    // Eight terms below 10 from float32 outputs of a few operations.
    EXPECT_NEAR(tally.nats, mixed_loss(run, loss), 8 * 10 * 1e-6);
    EXPECT_EQ(tally.num_terms, kNumSequences);
  }
}

TEST(MixUp, GradientsAreDifferencesOfTheMixedLoss) {
  const SoftmaxLoss loss = {.label_smoothing = 0.1F, .class_weights = {0.5F, 2.0F, 1.0F}};
  HeadRun run = make_run(kMixUp, loss);
  run.batch.sequence_labels_B = {2, 0, 1, 1};
  number_samples(run.batch, 7);
  constexpr double kScale = 0.5, kStep = 1e-3;
  run.run(true, static_cast<float>(kScale));
  const std::vector<float> by_parameter = test::gradients_by_value(run.parameters);
  const std::vector<float> by_hidden = run.dhidden;
  const auto difference = [&](float& x) {
    const float kept = x;
    x = static_cast<float>(kept + kStep);
    const double above = mixed_loss(run, loss), up = x;
    x = static_cast<float>(kept - kStep);
    const double below = mixed_loss(run, loss), down = x;
    x = kept;
    return kScale * (above - below) / (up - down);
  };
  // In float64 the differences err by the step's square times third derivatives of the order of 1;
  // the gradients are float32 sums of some ten terms of the order of 1.
  const double error = kStep * kStep * 10 + 100 * std::numeric_limits<float>::epsilon();
  for (const std::string part : {".weight", ".bias"}) {
    const Parameter& parameter = *run.parameters.find(kHead + part);
    double steepest = 0.0;
    for (std::int64_t i = 0; i < parameter.count; ++i) {
      const double slope = difference(run.values(kHead + part)[i]);
      EXPECT_NEAR(by_parameter[parameter.offset + i], slope, error) << part << i;
      steepest = std::max(steepest, std::abs(slope));
    }
    EXPECT_GT(steepest, 1e-2);
  }
  const std::int64_t num_real = run.batch.starts.back() * HeadRun::kWidth;
  for (std::int64_t i = 0; i < num_real; ++i)
    EXPECT_NEAR(by_hidden[i], difference(run.hidden[i]), error) << "hidden " << i;
}

TEST(MixUp, EvaluationIsAsWithoutIt) {
  HeadRun run = make_run(kMixUp, {}), plain = make_run({}, {});
  run.batch.sequence_labels_B = plain.batch.sequence_labels_B = {2, 0, 1, 1};
  EXPECT_EQ(run.run(false, 0.0F).nats, plain.run(false, 0.0F).nats);
  EXPECT_NE(run.run(true, 1.0F).nats, plain.run(true, 1.0F).nats);
}

TEST(MixUp, PairsDependOnTheKeyAndTheSamplesAlone) {
  HeadRun run = make_run(kMixUp, {});
  number_samples(run.batch, 1000);
  const MixedPairs first = draw_pairs(kMixUp, run.batch);
  EXPECT_GE(first.shift, 1);
  EXPECT_LT(first.shift, kNumSequences);
  EXPECT_EQ(draw_pairs(kMixUp, run.batch).share_B, first.share_B);
  EXPECT_NE(draw_pairs({.alpha = 0.5, .key = 98}, run.batch).share_B, first.share_B);
  number_samples(run.batch, 1001);
  const MixedPairs next = draw_pairs(kMixUp, run.batch);
  for (std::size_t b = 0; b + 1 < kNumSequences; ++b)
    EXPECT_EQ(next.share_B[b], first.share_B[b + 1]);
}

TEST(MixUp, ASequenceAloneIsMixedWithItself) {
  HeadRun run = make_run(kMixUp, {});
  run.batch.starts.resize(2);
  EXPECT_EQ(draw_pairs(kMixUp, run.batch).shift, 0);
}

// Of Beta(a, a): mean 1/2, variance 1 / (4 · (2a + 1)).
TEST(MixUp, SharesFollowTheBetaDistribution) {
  Batch batch;
  constexpr std::int64_t kDraws = 20000;
  for (std::int32_t b = 0; b <= kDraws; ++b) batch.starts.push_back(b);
  for (std::uint64_t b = 0; b < kDraws; ++b) batch.row_ids_N.push_back(b << 16);
  for (const double alpha : {0.01, 0.2, 1.0}) {
    double sum = 0.0, squares = 0.0;
    for (const double share : draw_pairs({.alpha = alpha, .key = 5}, batch).share_B) {
      ASSERT_TRUE(share >= 0.0 && share <= 1.0);
      sum += share, squares += (share - 0.5) * (share - 0.5);
    }
    // Standard deviations of the means are below 0.5 / √20000 and 0.13 / √20000; five of each.
    EXPECT_NEAR(sum / kDraws, 0.5, 0.018) << alpha;
    EXPECT_NEAR(squares / kDraws, 1.0 / (4.0 * (2.0 * alpha + 1.0)), 0.005) << alpha;
  }
}

}  // namespace
}  // namespace polyphase
