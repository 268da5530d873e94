// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "model/reference_run.hpp"
#include "train/plan_memory.hpp"

namespace polyphase {
namespace {

struct LayoutTrace {
  std::vector<double> losses, norms, average_losses;
  std::vector<float> parameters;
};

LayoutTrace train_on(const nlohmann::json& reference, const RankGrid& grid,
                     recipe::Precision precision, std::int64_t num_steps,
                     recipe::Shard shard = recipe::Shard::kNone) {
  ReferenceRun run(reference, grid, 4, precision, 0.1, shard);
  LayoutTrace trace;
  for (std::int64_t step = 0; step < num_steps; ++step) {
    const StepRecord record = run.step(step);
    trace.losses.push_back(record.loss);
    trace.norms.push_back(record.grad_norm);
    if (run.average() != nullptr) trace.average_losses.push_back(run.average_loss(step));
  }
  trace.parameters = run.parameters();
  return trace;
}

void expect_equal(const LayoutTrace& together, const LayoutTrace& alone, const std::string& name) {
  EXPECT_EQ(together.losses, alone.losses) << name;
  EXPECT_EQ(together.norms, alone.norms) << name;
  EXPECT_EQ(together.average_losses, alone.average_losses) << name;
  EXPECT_TRUE(together.parameters == alone.parameters) << name;
}

// With dropout on: masks are keyed by the sample, not by the rank that computes it. So many steps
// that a layer is unfrozen among them.
TEST(DataParallel, AgreesWithOneRankToTheLastBitWhateverIsDivided) {
  if (test_world->size() == 1) GTEST_SKIP() << kNeedsSeveralRanks;
  constexpr std::int64_t kSteps = 6;
  const RankGrid grid = make_grid(*test_world, 1);
  for (const std::string& name : all_cases()) {
    const nlohmann::json reference = read_case(name);
    const LayoutTrace alone = train_on(reference, solo_grid(), recipe::Precision::kF32, kSteps);
    for (const recipe::Shard shard :
         {recipe::Shard::kNone, recipe::Shard::kOptimizer, recipe::Shard::kGradients})
      expect_equal(train_on(reference, grid, recipe::Precision::kF32, kSteps, shard), alone, name);
  }
}

TEST(DataParallel, AgreesWithOneRankToTheLastBitInBf16) {
  if (test_world->size() == 1) GTEST_SKIP() << kNeedsSeveralRanks;
  constexpr std::int64_t kSteps = 3;  // those of updated parameters, too
  const RankGrid grid = make_grid(*test_world, 1);
  for (const std::string& name : all_cases()) {
    const nlohmann::json reference = read_case(name);
    expect_equal(train_on(reference, grid, recipe::Precision::kBf16, kSteps),
                 train_on(reference, solo_grid(), recipe::Precision::kBf16, kSteps), name);
  }
}

// What the ranks of a job have in memory, and what `polyphase plan` says of it.
TEST(Sharded, PlanIsWhatTheRankWithTheMostKeeps) {
  const RankGrid grid = make_grid(*test_world, 1);
  for (const std::string& name : all_cases()) {
    const nlohmann::json reference = read_case(name);
    if (!reference.at("labels").empty() || reference.contains("teacher")) continue;
    for (const recipe::Shard shard :
         {recipe::Shard::kNone, recipe::Shard::kOptimizer, recipe::Shard::kGradients}) {
      ReferenceRun run(reference, grid, 4, recipe::Precision::kF32, 0.0, shard);
      recipe::Recipe recipe = run.recipe();
      recipe.tokenizer.vocab_size = reference.at("vocabulary");
      recipe::Phase& phase = recipe.phases.back();
      phase.batch.sequences = 4 * phase.batch.micro_batch;
      const PlannedMemory planned = plan_memory(recipe, phase, grid.data.size());
      // Every tensor starts at a multiple of 64 bytes.
      const auto kept_bytes = [](const std::vector<StateTensor>& tensors) {
        std::int64_t floats = 0;
        for (const StateTensor& tensor : tensors)
          floats += (static_cast<std::int64_t>(tensor.values.size()) + 15) / 16 * 16;
        return floats * std::int64_t{sizeof(float)};
      };
      const std::int64_t parameters =
          run.model().parameters().total_count() * std::int64_t{sizeof(float)};
      std::int64_t state = kept_bytes(run.optimizer().state());
      if (run.average() != nullptr) state += kept_bytes(run.average()->tensors());
      std::int64_t all = state, most = state;
      test_world->sum(&all, 1);
      test_world->max(&most, 1);
      EXPECT_EQ(planned.state_bytes, parameters + most) << name;
      // One set of gradients lies in the arena.
      const ParameterSet& own = run.model().parameters();
      std::int64_t training = static_cast<std::int64_t>(run.model().arena_capacity_bytes());
      if (own.num_gradients() > 1) {
        training += static_cast<std::int64_t>(own.num_gradients() * own.gradients(0).size() *
                                              sizeof(float));
      }
      test_world->max(&training, 1);
      EXPECT_EQ(planned.gradient_bytes + planned.activation_bytes - planned.shared_bytes, training)
          << name;
      if (shard == recipe::Shard::kNone) {
        EXPECT_EQ(all, state * grid.data.size()) << name;
      } else if (grid.data.size() > 1 && phase.optimizer.kind == "adamw") {
        // The models are tiny: parameters are large parts of them, and gaps count.
        EXPECT_LT(static_cast<double>(most), 1.5 * static_cast<double>(all) / grid.data.size())
            << name;
      }
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
  if (test_world->size() == 1) GTEST_SKIP() << kNeedsSeveralRanks;
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
