// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "model/reference_run.hpp"

namespace polyphase {
namespace {

struct Trace {
  std::vector<double> losses, norms;
  std::vector<float> parameters;
  bool operator==(const Trace&) const = default;
};

Trace train(const nlohmann::json& reference, const RankGrid& grid, recipe::Precision precision) {
  ReferenceRun run(reference, grid, 4, precision, 0.1);
  Trace trace;
  for (std::int64_t step = 0; step < 10; ++step) {
    const StepRecord record = run.step(step);
    trace.losses.push_back(record.loss);
    trace.norms.push_back(record.grad_norm);
  }
  trace.parameters = run.parameters();
  return trace;
}

// With dropout on: masks are keyed by the sample, not by the rank that computes it.
TEST(DataParallel, AgreesWithOneRankToTheLastBit) {
  for (const recipe::Precision precision : {recipe::Precision::kF32, recipe::Precision::kBf16}) {
    for (const std::string& name : all_cases()) {
      const nlohmann::json reference = read_case(name);
      const Trace alone = train(reference, solo_grid(), precision);
      const Trace together = train(reference, make_grid(*test_world, 1), precision);
      EXPECT_EQ(alone.losses, together.losses) << name;
      EXPECT_EQ(alone.norms, together.norms) << name;
      EXPECT_TRUE(alone.parameters == together.parameters) << name;
    }
  }
}

TEST(Dropout, ChangesTheLossAndIsTheSameTwice) {
  const nlohmann::json reference = read_case("bert_prenorm_pretraining");
  const RankGrid grid = solo_grid();
  ReferenceRun with(reference, grid, 1, recipe::Precision::kF32, 0.1),
      again(reference, grid, 1, recipe::Precision::kF32, 0.1);
  ReferenceRun without(reference, grid, 1);
  const double loss = with.step(0).loss;
  EXPECT_EQ(loss, again.step(0).loss);
  EXPECT_NE(loss, without.step(0).loss);
}

// Dropout's masks do not depend on how the model is split: only the sums inside products differ.
TEST(TensorParallel, DrawsTheSameMasks) {
  const nlohmann::json reference = read_case("bert_prenorm_pretraining");
  const RankGrid alone = solo_grid(), split = make_grid(*test_world, test_world->size());
  ReferenceRun one(reference, alone, 2, recipe::Precision::kF32, 0.1);
  ReferenceRun many(reference, split, 2, recipe::Precision::kF32, 0.1);
  for (std::int64_t step = 0; step < 5; ++step) {
    const double loss = one.step(step).loss;
    EXPECT_NEAR(many.step(step).loss, loss, 1e-5 * loss);
  }
}

TEST(Arena, PlanIsTheExactPeakOfTheLargestMicroBatch) {
  const nlohmann::json reference = read_case("bert_postnorm_pretraining");
  const RankGrid grid = solo_grid();
  ReferenceRun run(reference, grid, 1);
  PhaseModel& model = run.model();
  const Batch batch = run.batches(0).micro_batches[0];
  const std::size_t planned = model.plan_arena_bytes(batch, true);
  run.step(0);
  EXPECT_EQ(model.arena_peak_bytes(), planned);
}

}  // namespace
}  // namespace polyphase
