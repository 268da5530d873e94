// SPDX-License-Identifier: Apache-2.0
// Passes that train with every kind of noise: dropout of all places, layer drop, R-Drop.
#include <gtest/gtest.h>

#include <cmath>

#include "model/gradients.hpp"
#include "model/reference_run.hpp"

namespace polyphase {
namespace {

constexpr double kDropout = 0.1;

// Pre-norm and post-norm, all kinds of heads, one stack and two, and none with ReLU, whose kinks
// make differences uncertain.
const std::vector<std::string> kCases = {"bert_prenorm_pretraining", "bert_postnorm_classification",
                                         "bert_prenorm_tagging",     "family_bert_classification",
                                         "family_llama_clm",         "family_t5_1_1_generation"};

nlohmann::json noisy_case(const std::string& name, double layer_drop, double r_drop) {
  nlohmann::json reference = read_case(name);
  reference["phase"]["layer_drop"] = layer_drop;
  reference["phase"]["r_drop"] = r_drop;
  return reference;
}

// What a training pass minimises; its gradients are in the first set afterwards.
double minimised(ReferenceRun& run, const Batch& batch, std::int64_t step) {
  PhaseModel& model = run.model();
  std::vector<float> scales;
  for (const std::int64_t terms : model.num_terms(batch))
    scales.push_back(1.0F / static_cast<float>(terms));
  model.parameters().begin_micro_batch(0);
  const std::vector<Tally> tallies = model.forward(batch, run.dropout(step), scales);
  model.backward([](std::size_t) {});
  model.parameters().check_all_written();
  const double r_drop = run.recipe().phases[0].regularisation.r_drop.value_or(0.0);
  double loss = 0;
  for (std::size_t o = 0; o < tallies.size(); ++o)
    loss += static_cast<double>(scales[o]) * (tallies[o].nats + r_drop * tallies[o].divergence);
  return loss;
}

// The derivative along each parameter's gradient, from two losses under the same masks. Returns
// how many parameters have no gradient at all; the loss must not depend on these.
int expect_gradients_of(ReferenceRun& run, std::int64_t step) {
  ParameterSet& parameters = run.model().parameters();
  const Batch batch = run.batches(step).micro_batches[0];
  const double loss = minimised(run, batch, step);
  const std::vector<float> gradient = test::gradients_by_value(parameters);
  int without = 0;
  for (const Parameter& parameter : parameters.all()) {
    double norm = 0;
    for (std::int64_t i = 0; i < parameter.count; ++i)
      norm += std::pow(gradient[parameter.offset + i], 2);
    norm = std::sqrt(norm);
    if (norm > 0 && norm < 1e-5) continue;  // rounding alone: keys' biases
    without += norm == 0 ? 1 : 0;
    const Tensor1<float> value = test::value_of(parameters, parameter);
    const std::vector<float> before = test::read_tensor(value);
    const double h = norm == 0 ? 0.1 : std::min(5e-3, 2.5e-3 / norm);
    const auto moved = [&](double sign) {
      std::vector<float> after = before;
      for (std::int64_t i = 0; i < parameter.count; ++i) {
        const double direction = norm == 0 ? 1.0 : gradient[parameter.offset + i] / norm;
        after[i] = static_cast<float>(before[i] + sign * h * direction);
      }
      test::write_tensor(value, after);
      return minimised(run, batch, step);
    };
    const double above = moved(1.0), below = moved(-1.0);
    test::write_tensor(value, before);
    if (norm == 0) {
      EXPECT_EQ(above, loss) << parameter.spec.name;
    } else {
      EXPECT_NEAR((above - below) / (2 * h), norm, 1e-2 * norm + 3e-4) << parameter.spec.name;
    }
  }
  return without;
}

TEST(Noise, GradientsAreTheDifferencesOfLossesUnderTheSameMasks) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  for (const std::string& name : kCases) {
    SCOPED_TRACE(name);
    const nlohmann::json reference = noisy_case(name, 0.0, 0.7);
    const RankGrid grid = solo_grid();
    ReferenceRun run(reference, grid, 1, recipe::Precision::kF32, kDropout);
    EXPECT_EQ(expect_gradients_of(run, 0), 0);
  }
}

// Over some steps of half of the layers each, all combinations of two layers come up.
TEST(LayerDrop, SkippedLayersHaveNoGradientAndTheOthersTheirOwn) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  for (const std::string& name : kCases) {
    SCOPED_TRACE(name);
    const nlohmann::json reference = noisy_case(name, 0.5, 0.0);
    const RankGrid grid = solo_grid();
    ReferenceRun run(reference, grid, 1, recipe::Precision::kF32, kDropout);
    int fewest = 1000, most = 0;
    for (std::int64_t step = 0; step < 6; ++step) {
      const int without = expect_gradients_of(run, step);
      fewest = std::min(fewest, without);
      most = std::max(most, without);
    }
    EXPECT_LT(fewest, most);
    EXPECT_GT(most, 5);
  }
}

TEST(LayerDrop, EvaluationGoesThroughAllLayers) {
  const nlohmann::json with = noisy_case("bert_prenorm_tagging", 0.9, 0.0),
                       without = read_case("bert_prenorm_tagging");
  const RankGrid grid = solo_grid();
  ReferenceRun one(with, grid, 1), other(without, grid, 1);
  const Batch batch = one.batches(0).micro_batches[0];
  EXPECT_EQ(one.model().evaluate(batch)[0].nats, other.model().evaluate(batch)[0].nats);
}

TEST(RDrop, WithoutMasksItIsTheOrdinaryLossOfTheReference) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  for (const std::string& name : kCases) {
    SCOPED_TRACE(name);
    const nlohmann::json reference = noisy_case(name, 0.0, 3.0);
    const RankGrid grid = solo_grid();
    ReferenceRun run(reference, grid, 2);
    for (std::int64_t step = 0; step < 10; ++step) {
      const StepRecord record = run.step(step);
      const double loss = reference.at("loss")[step], norm = reference.at("grad_norm")[step];
      EXPECT_NEAR(record.loss, loss, 4e-5 * loss) << "step " << step;
      EXPECT_NEAR(record.grad_norm, norm, 4e-4 * norm) << "step " << step;
      EXPECT_NEAR(record.divergence, 0.0, 1e-9);
    }
  }
}

TEST(RDrop, PlanIsTheExactPeakOfBothPasses) {
  const nlohmann::json reference = noisy_case("bert_postnorm_pretraining", 0.0, 1.0);
  const RankGrid grid = solo_grid();
  ReferenceRun run(reference, grid, 1, recipe::Precision::kF32, kDropout);
  const std::size_t planned = run.model().plan_arena_bytes(run.batches(0).micro_batches[0], true);
  run.step(0);
  EXPECT_EQ(run.model().arena_peak_bytes(), planned);
}

struct NoisyTrace {
  std::vector<double> losses, divergences, norms;
  std::vector<float> parameters;
};

NoisyTrace train_noisily(const nlohmann::json& reference, const RankGrid& grid) {
  ReferenceRun run(reference, grid, 4, recipe::Precision::kF32, kDropout);
  NoisyTrace trace;
  for (std::int64_t step = 0; step < 6; ++step) {
    const StepRecord record = run.step(step);
    trace.losses.push_back(record.loss);
    trace.divergences.push_back(record.divergence);
    trace.norms.push_back(record.grad_norm);
  }
  trace.parameters = run.parameters();
  return trace;
}

TEST(Noise, DataParallelRanksAgreeToTheLastBit) {
  if (test_world->size() == 1) GTEST_SKIP() << kNeedsSeveralRanks;
  for (const std::string& name : kCases) {
    const nlohmann::json reference = noisy_case(name, 0.3, 1.0);
    const NoisyTrace alone = train_noisily(reference, solo_grid());
    const NoisyTrace together = train_noisily(reference, make_grid(*test_world, 1));
    EXPECT_EQ(alone.losses, together.losses) << name;
    EXPECT_EQ(alone.divergences, together.divergences) << name;
    EXPECT_EQ(alone.norms, together.norms) << name;
    EXPECT_TRUE(alone.parameters == together.parameters) << name;
    EXPECT_GT(alone.divergences[0], 0.0) << name;
  }
}

TEST(Noise, TensorParallelRanksDrawTheSameLayersAndMasks) {
  if (test_world->size() == 1) GTEST_SKIP() << kNeedsSeveralRanks;
  for (const std::string& name : kCases) {
    const nlohmann::json reference = noisy_case(name, 0.3, 1.0);
    const NoisyTrace one = train_noisily(reference, solo_grid());
    const NoisyTrace many = train_noisily(reference, make_grid(*test_world, test_world->size()));
    for (std::size_t step = 0; step < one.losses.size(); ++step) {
      EXPECT_NEAR(many.losses[step], one.losses[step], 2e-5 * one.losses[step]) << name;
      EXPECT_NEAR(many.divergences[step], one.divergences[step], 1e-4 * one.losses[step]) << name;
    }
  }
}

}  // namespace
}  // namespace polyphase
