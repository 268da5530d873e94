// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "model/gradients.hpp"
#include "model/head_run.hpp"
#include "objective/classification.hpp"
#include "objective/multi_label.hpp"
#include "objective/ngram_bag.hpp"
#include "objective/regression.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kNumSequences = 4, kNumClasses = 3;
constexpr std::int32_t kFirstText = 2;  // rows of a pair's first text
const std::vector<std::int32_t> kLengths = {5, 1, 9, 4};

// The mean of some rows, in float64; 0 of none.
std::vector<double> mean(const HeadRun& run, std::int32_t begin, std::int32_t end) {
  std::vector<double> state(HeadRun::kWidth, 0.0);
  for (std::int32_t n = begin; n < end; ++n) {
    for (std::int64_t c = 0; c < HeadRun::kWidth; ++c)
      state[c] += double{run.hidden[n * HeadRun::kWidth + c]} / (end - begin);
  }
  return state;
}

// What the heads see of the batch. In pairs the second text begins behind two rows, and the
// sequence of one row has none.
std::vector<double> pooled(const HeadRun& run, recipe::Pooling pooling, std::int64_t b) {
  const std::int32_t begin = run.batch.starts[b], end = run.batch.starts[b + 1];
  if (pooling == recipe::Pooling::kMean) return mean(run, begin, end);
  if (pooling == recipe::Pooling::kFirst) return mean(run, begin, begin + 1);
  const std::int32_t second = std::min(begin + kFirstText, end);
  const auto u = mean(run, begin, second), v = mean(run, second, end);
  std::vector<double> state = u;
  state.insert(state.end(), v.begin(), v.end());
  for (std::size_t c = 0; c < u.size(); ++c) state.push_back(std::abs(u[c] - v[c]));
  for (std::size_t c = 0; c < u.size(); ++c) state.push_back(u[c] * v[c]);
  return state;
}

// Output k of the linear layer NAME for sequence b.
double output(HeadRun& run, const std::string& name, const recipe::Task& task, std::int64_t b,
              std::int64_t k) {
  const std::vector<double> state = pooled(run, task.pooling, b),
                            weight = run.copy(name + ".weight"), bias = run.copy(name + ".bias");
  double y = bias[k];
  for (std::size_t c = 0; c < state.size(); ++c) y += weight[k * state.size() + c] * state[c];
  if (!task.ngrams) return y;
  const std::vector<double> table = run.copy(name + ".ngrams");
  const NgramBags bags = ngram_bags(run.batch, *task.ngrams);
  for (std::int32_t m = bags.starts[b]; m < bags.starts[b + 1]; ++m)
    y += table[bags.buckets_M[m] * bias.size() + k];
  return y;
}

template <class Head, class... More>
HeadRun make_run(const More&... more) {
  return HeadRun(
      kLengths,
      [=](ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model) {
        return std::make_unique<Head>(parameters, tensor, model, more...);
      },
      kFirstText);
}

// Losses are sums of at most twelve terms below 10 from float32 outputs of a few operations.
constexpr double kLossError = 12 * 10 * 1e-6;

class SequenceHeads : public testing::TestWithParam<recipe::Pooling> {
 protected:
  // One of them has the n-grams of the tokens beside it.
  static recipe::Task task() {
    recipe::Task task = {.pooling = GetParam()};
    if (task.pooling == recipe::Pooling::kFirst) task.ngrams = {.order = 2, .buckets = 5};
    return task;
  }
};

TEST_P(SequenceHeads, ClassificationWeighsClassesAndSmoothsLabels) {
  const SoftmaxLoss loss = {.label_smoothing = 0.2F, .class_weights = {0.5F, 2.0F, 1.0F}};
  HeadRun run = make_run<Classification<float>>(task(), kNumClasses, loss);
  run.batch.sequence_labels_B = {2, 0, 1, 1};
  double nats = 0.0, measured = 0.0;  // evaluations smooth nothing
  for (std::int64_t b = 0; b < kNumSequences; ++b) {
    double sum = 0.0, mean = 0.0, at_label = 0.0;
    for (std::int64_t k = 0; k < kNumClasses; ++k) {
      const double logit = output(run, "head.classification.output", task(), b, k);
      sum += std::exp(logit), mean += logit / kNumClasses;
      if (k == run.batch.sequence_labels_B[b]) at_label = logit;
    }
    nats += loss.class_weights[run.batch.sequence_labels_B[b]] *
            (std::log(sum) - 0.8 * at_label - 0.2 * mean);
    measured += loss.class_weights[run.batch.sequence_labels_B[b]] * (std::log(sum) - at_label);
  }
  EXPECT_NEAR(run.run(true, 0.0F).nats, nats, kLossError);
  EXPECT_NEAR(run.run(false, 0.0F).nats, measured, kLossError);
  EXPECT_GT(std::abs(nats - measured), 10 * kLossError);
  run.check_gradients(20.0);
}

// (CE(p) + CE(q)) / 2 and, apart, (KL(p ‖ q) + KL(q ‖ p)) / 2, class by class.
TEST_P(SequenceHeads, RDropComparesBothPassesOfASequence) {
  const SoftmaxLoss loss = {.class_weights = {0.5F, 2.0F, 1.0F}};
  HeadRun run = make_run<Classification<float>>(task(), kNumClasses, loss);
  run.batch.sequence_labels_B = {2, 0, 2, 0};  // sequences 2 and 3 are 0 and 1 under other masks
  run.r_drop = 1.5F;
  double nats = 0.0, divergence = 0.0;
  std::vector<std::vector<double>> log_p;
  for (std::int64_t b = 0; b < kNumSequences; ++b) {
    double sum = 0.0;
    log_p.emplace_back();
    for (std::int64_t k = 0; k < kNumClasses; ++k) {
      log_p[b].push_back(output(run, "head.classification.output", task(), b, k));
      sum += std::exp(log_p[b][k]);
    }
    for (double& logit : log_p[b]) logit -= std::log(sum);
    const std::int32_t label = run.batch.sequence_labels_B[b];
    nats -= loss.class_weights[label] * log_p[b][label] / 2;
  }
  for (std::int64_t b = 0; b < 2; ++b) {
    for (std::int64_t k = 0; k < kNumClasses; ++k) {
      const double p = log_p[b][k], q = log_p[b + 2][k];
      divergence += (std::exp(p) * (p - q) + std::exp(q) * (q - p)) / 2;
    }
  }
  const Tally tally = run.run(true, 1.0F);
  EXPECT_NEAR(tally.nats, nats, kLossError);
  EXPECT_GT(divergence, 10 * kLossError);
  EXPECT_NEAR(tally.divergence, divergence, kLossError);
  EXPECT_EQ(tally.num_terms, 2);
  run.check_gradients(20.0);
}

TEST_P(SequenceHeads, RegressionIsTheSquaredError) {
  HeadRun run = make_run<Regression<float>>(task());
  run.batch.sequence_values_B = {0.25F, -1.0F, 3.5F, 2.0F};
  double squares = 0.0;
  std::vector<double> predicted;
  for (std::int64_t b = 0; b < kNumSequences; ++b) {
    predicted.push_back(output(run, "head.regression.output", task(), b, 0));
    squares += std::pow(predicted.back() - run.batch.sequence_values_B[b], 2);
  }
  const Tally tally = run.run(false, 0.0F);
  EXPECT_NEAR(tally.nats, squares, kLossError);
  EXPECT_EQ(tally.num_terms, kNumSequences);
  ASSERT_EQ(tally.records.size(), 2U * kNumSequences);
  for (std::int64_t b = 0; b < kNumSequences; ++b) {
    EXPECT_EQ(tally.records[2 * b], run.batch.sequence_values_B[b]);
    EXPECT_NEAR(tally.records[2 * b + 1], predicted[b], 1e-5);
  }
  run.check_gradients(60.0);
}

TEST_P(SequenceHeads, LabelsOfASetAreIndependent) {
  HeadRun run = make_run<MultiLabel<float>>(task(), kNumClasses);
  run.batch.label_sets_BK = {1, 0, 1, 0, 0, 0, 1, 1, 1, 0, 1, 0};
  double nats = 0.0;
  std::int64_t num_exact = 0;
  for (std::int64_t b = 0; b < kNumSequences; ++b) {
    bool exact = true;
    for (std::int64_t k = 0; k < kNumClasses; ++k) {
      const double z = output(run, "head.multi_label.output", task(), b, k);
      const bool there = run.batch.label_sets_BK[b * kNumClasses + k] == 1.0F;
      const double probability = 1.0 / (1.0 + std::exp(-z));
      nats -= std::log(there ? probability : 1.0 - probability);
      exact = exact && there == (probability >= 0.5);
    }
    num_exact += exact;
  }
  const Tally tally = run.run(false, 0.0F);
  EXPECT_NEAR(tally.nats, nats, kLossError);
  EXPECT_EQ(tally.num_terms, kNumSequences * kNumClasses);
  EXPECT_EQ(tally.counts[1], num_exact);
  EXPECT_EQ(run.objective().metrics(tally).at("accuracy"), num_exact / 4.0);
  run.check_gradients(20.0);
}

INSTANTIATE_TEST_SUITE_P(Poolings, SequenceHeads,
                         testing::Values(recipe::Pooling::kMean, recipe::Pooling::kFirst,
                                         recipe::Pooling::kPair),
                         [](const auto& info) {
                           return info.param == recipe::Pooling::kMean    ? "mean"
                                  : info.param == recipe::Pooling::kFirst ? "first"
                                                                          : "pair";
                         });

TEST(Ngrams, AreThoseOfASequenceAlone) {
  Batch batch;
  batch.tokens_N = {7, 8, 9, 7, 8, 8, 7};
  batch.starts = {0, 3, 3, 7};
  constexpr std::int64_t kMany = 1 << 30, kFew = 3;
  const NgramBags bags = ngram_bags(batch, {.order = 2, .buckets = kMany});
  // Of every token: itself, and with the one in front of it.
  EXPECT_EQ(bags.starts, (std::vector<std::int32_t>{0, 5, 5, 12}));
  const std::vector<std::int32_t>& m = bags.buckets_M;
  const std::int32_t seven = m[0], eight = m[1], seven_eight = m[2], nine = m[3], eight_nine = m[4];
  EXPECT_EQ(std::vector<std::int32_t>(m.begin() + 5, m.begin() + 9),
            (std::vector<std::int32_t>{seven, eight, seven_eight, eight}));
  const std::int32_t eight_eight = m[9], eight_seven = m[11];
  EXPECT_EQ(m[10], seven);
  const std::set<std::int32_t> all = {seven,      eight,       nine,       seven_eight,
                                      eight_nine, eight_eight, eight_seven};
  EXPECT_EQ(all.size(), 7U);
  EXPECT_EQ(ngram_bags(batch, {.order = 1, .buckets = kMany}).buckets_M,
            (std::vector<std::int32_t>{seven, eight, nine, seven, eight, eight, seven}));
  for (const std::int32_t bucket : ngram_bags(batch, {.order = 9, .buckets = kFew}).buckets_M) {
    EXPECT_GE(bucket, 0);
    EXPECT_LT(bucket, kFew);
  }
}

// What is planned for one batch must do for every one of its size.
TEST(Ngrams, NeedTheSameMemoryWhateverTheTokensAre) {
  ParameterSet parameters;
  const NgramBag bag(parameters, "head", 3, recipe::Ngrams{.order = 2, .buckets = 7});
  parameters.allocate();
  parameters.allocate_gradients(test::layout_of_values(parameters), 1);
  const auto bytes = [&](std::int32_t num_words) {
    Batch batch;
    batch.starts = {0, 3 * kRowMultiple};
    for (std::int32_t n = 0; n < batch.starts.back(); ++n) {
      batch.tokens_N.push_back(n % num_words);
      batch.positions_N.push_back(n);
      batch.segments_N.push_back(0);
      batch.row_ids_N.push_back(n);
    }
    Arena counting;
    const Exec exec{Space(), &counting};
    const Pass pass = begin_pass(exec, *test_world, batch, batch, {}, true);
    parameters.begin_micro_batch(0);
    const std::size_t before = counting.used_bytes();
    bag.backward(pass, Tensor2<const float>(nullptr, 1, 3));
    return counting.used_bytes() - before;
  };
  EXPECT_EQ(bytes(1), bytes(100));
}

TEST(MultiLabel, ScoresAreThoseOfTheCounts) {
  HeadRun run = make_run<MultiLabel<float>>(recipe::Task{}, std::int64_t{2});
  // Of label 0 two of three are found, of label 1 one of one with one too many.
  const auto metrics =
      run.objective().metrics({.nats = 4.0, .num_terms = 8, .counts = {4, 2, 2, 2, 3, 1, 2, 1}});
  EXPECT_DOUBLE_EQ(metrics.at("loss"), 0.5);
  EXPECT_DOUBLE_EQ(metrics.at("accuracy"), 0.5);
  EXPECT_DOUBLE_EQ(metrics.at("f1"), 2.0 * 3 / (4 + 4));
  EXPECT_DOUBLE_EQ(metrics.at("macro_f1"), (2.0 * 2 / (2 + 3) + 2.0 * 1 / (2 + 1)) / 2);
}

}  // namespace
}  // namespace polyphase
