// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "model/gradients.hpp"
#include "model/reference_run.hpp"

namespace polyphase {
namespace {

class Reference : public testing::TestWithParam<std::string> {};

// Losses of 20 AdamW steps, against those of a PyTorch script in float64. Float32 has 6e-8 of
// relative error an operation; 1e-5 at the first step and 1e-4 after 20 steps is what remains of
// it.
void expect_reference_losses(const nlohmann::json& reference, const RankGrid& grid,
                             std::int64_t num_micro_batches) {
  ReferenceRun run(reference, grid, num_micro_batches);
  for (std::int64_t step = 0; step < 20; ++step) {
    const StepRecord record = run.step(step);
    const double tolerance = 1e-5 * std::pow(10.0, static_cast<double>(step) / 19.0);
    const double loss = reference.at("loss")[step], norm = reference.at("grad_norm")[step];
    EXPECT_NEAR(record.loss, loss, tolerance * loss) << "step " << step;
    EXPECT_NEAR(record.grad_norm, norm, 10 * tolerance * norm) << "step " << step;
    if (reference.contains("penalty")) {
      const double penalty = reference.at("penalty")[step];
      EXPECT_NEAR(record.penalty, penalty, tolerance * penalty) << "step " << step;
    }
    if (reference.contains("average_loss")) {
      const double average = reference.at("average_loss")[step];
      EXPECT_NEAR(run.average_loss(step), average, tolerance * average) << "step " << step;
    }
    std::size_t o = 0;
    for (const std::string& name : run.model().objective_names()) {
      const double part = reference.at("losses").at(name)[step];
      EXPECT_NEAR(record.losses[o++], part, 2 * tolerance * part) << name << " at step " << step;
    }
  }
}

TEST_P(Reference, LossesOfTwentyStepsAreThoseOfTheIndependentScript) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  expect_reference_losses(read_case(GetParam()), solo_grid(), 1);
}

TEST_P(Reference, DataParallelRanksGiveTheSameNumbers) {
  if (test_world->size() == 1) GTEST_SKIP() << kNeedsSeveralRanks;
  expect_reference_losses(read_case(GetParam()), make_grid(*test_world, 1), 4);
}

TEST_P(Reference, TensorParallelRanksGiveTheSameNumbers) {
  if (test_world->size() == 1) GTEST_SKIP() << kNeedsSeveralRanks;
  expect_reference_losses(read_case(GetParam()), make_grid(*test_world, test_world->size()), 2);
}

TEST_P(Reference, BothKindsOfRanksTogetherGiveTheSameNumbers) {
  if (test_world->size() < 4) GTEST_SKIP() << "needs 4 ranks";
  expect_reference_losses(read_case(GetParam()), make_grid(*test_world, 2), 4);
}

TEST_P(Reference, DividedRowsGiveTheSameNumbers) {
  nlohmann::json reference = read_case(GetParam());
  reference["sequence"] = true;
  expect_reference_losses(reference, make_grid(*test_world, test_world->size()), 2);
  if (test_world->size() == 4) expect_reference_losses(reference, make_grid(*test_world, 2), 4);
}

// Gradients of the first step, parameter by parameter.
std::vector<float> first_gradients(const nlohmann::json& reference, recipe::Precision precision,
                                   std::vector<Parameter>& parameters, double& loss) {
  const RankGrid grid = solo_grid();
  ReferenceRun run(reference, grid, 1, precision);
  // The cases' sinusoids are matrices of rank two, whose products cancel: random ones do not.
  run.model().parameters().initialise(5, 0.25);
  loss = run.step(0).loss;
  parameters = run.model().parameters().all();
  return test::gradients_by_value(run.model().parameters());
}

// bf16 keeps 8 bits, so every product of a chain of about ten adds a relative error of up to 2^-9;
// 6 % is what that can grow to. Later steps are not compared: AdamW makes a step of full length of
// a gradient that is rounding alone.
TEST_P(Reference, Bf16GradientsStayNearThoseOfFloat32) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  const nlohmann::json reference = read_case(GetParam());
  std::vector<Parameter> parameters;
  double loss = 0, loss_bf16 = 0;
  const std::vector<float> exact =
      first_gradients(reference, recipe::Precision::kF32, parameters, loss);
  const std::vector<float> rounded =
      first_gradients(reference, recipe::Precision::kBf16, parameters, loss_bf16);
  EXPECT_NEAR(loss_bf16, loss, 0.01 * loss);
  // Rounding that takes a unit of ReLU across its kink switches its whole gradient on or off.
  const double share = reference.at("model").value("activation", "gelu") == "relu" ? 0.2 : 0.06;
  for (const Parameter& parameter : parameters) {
    double difference = 0, norm = 0;
    for (std::int64_t i = parameter.offset; i < parameter.offset + parameter.count; ++i) {
      difference += std::pow(static_cast<double>(rounded[i]) - static_cast<double>(exact[i]), 2);
      norm += std::pow(static_cast<double>(exact[i]), 2);
    }
    EXPECT_LE(std::sqrt(difference), share * std::sqrt(norm) + 2e-3) << parameter.spec.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Reference, testing::ValuesIn(all_cases()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace polyphase
