// SPDX-License-Identifier: Apache-2.0
#include "plan/plan_time.hpp"

#include <gtest/gtest.h>

#include "planned_recipe.hpp"

namespace polyphase {
namespace {

// Two micro-batches of one product of size 256 at 200 GFLOP/s, and easy amounts of the rest.
StepWork small_step() {
  StepWork step;
  step.num_micro_batches = 2;
  step.pass.products[{.m = 256, .n = 256, .k = 256}] = 10;
  step.pass.attention_flops = 5e9;  // at 50 GFLOP/s
  step.pass.moved_bytes = 2e9;      // at 20 GB/s
  step.update.moved_bytes = 3e9;    // at 10 GB/s
  step.model_flops = 1e10;
  step.tokens = 100;
  step.num_trained = step.num_parameters = std::int64_t{25} << 20;
  step.num_layers = 0;
  return step;
}

constexpr double kFloatsGB = 4e-9 * (25 << 20);  // of the gradients

TEST(PlanTime, OneRankIsTheSumOfItsKernels) {
  const PlannedTime time = plan_time(small_step(), {}, small_machine());
  EXPECT_NEAR(time.product_seconds, 2 * 10 * 2e-9 * 256 * 256 * 256 / 200, 1e-12);
  EXPECT_NEAR(time.attention_seconds, 2 * 0.1, 1e-12);
  EXPECT_NEAR(time.row_seconds, 2 * 0.1, 1e-12);
  // One sum of two sets (three passes), the norm's pass, and the update's own bytes.
  EXPECT_NEAR(time.update_seconds, (4 * kFloatsGB + 3) / 10, 1e-12);
  EXPECT_EQ(time.exposed_data_seconds, 0);
  EXPECT_EQ(time.tensor_sums.seconds, 0);
  EXPECT_EQ(time.tokens, 200);
  EXPECT_NEAR(time.mfu, 2e10 / (time.step_seconds() * 300e9), 1e-12);
}

// Two micro-batches, sums of their gradients in a layer, above and below it, the norm and the
// update.
TEST(PlanTime, EveryKernelOfAStepIsStarted) {
  StepWork step = small_step();
  step.num_layers = 1;
  step.pass.num_kernels = 100;
  step.update.num_kernels = 5;
  Machine machine = small_machine();
  const PlannedTime free = plan_time(step, {}, machine);
  EXPECT_EQ(free.num_kernels, 2 * 100 + 3 + 1 + 5);
  EXPECT_EQ(free.start_seconds, 0);
  machine.rates.at(2).kernel_us = 10;
  const PlannedTime time = plan_time(step, {}, machine);
  EXPECT_NEAR(time.start_seconds, 209 * 10e-6, 1e-12);
  EXPECT_NEAR(time.step_seconds() - free.step_seconds(), time.start_seconds, 1e-12);
  // Of an optimizer that two ranks divide, each starts its part.
  EXPECT_EQ(plan_time(step, {.data = 2, .shard = recipe::Shard::kOptimizer}, machine).num_kernels,
            2 * 100 + 3 + 1 + 3);
}

TEST(PlanTime, GradientsGoInBucketsOfFourMebibytes) {
  const PlannedTime time = plan_time(small_step(), {.data = 2}, small_machine());
  // 25 buckets, each half of it there and back at 4 GB/s.
  EXPECT_NEAR(time.data_sums.seconds, 25 * 2 * 10e-6 + kFloatsGB / 4, 1e-9);
  EXPECT_NEAR(time.data_sums.within_bytes, 1e9 * kFloatsGB, 1);
  EXPECT_EQ(time.data_sums.between_bytes, 0);
  EXPECT_NEAR(time.exposed_data_seconds, time.data_sums.seconds, 1e-3);
  EXPECT_EQ(time.tokens, 400);
}

// Of two stages each waits for the other's one micro-batch, and sends what it has counted.
TEST(PlanTime, StagesWaitForTheFirstAndBehindTheLastMicroBatch) {
  StepWork step = small_step();
  step.pass.passed_on = 1e6;
  const PlannedTime time = plan_time(step, {.pipeline = 2}, small_machine());
  EXPECT_NEAR(time.idle_seconds,
              (time.product_seconds + time.attention_seconds + time.row_seconds) / 2, 1e-12);
  EXPECT_NEAR(time.stage_sends.seconds, 2 * (4e6 / 4e9 + 2 * 10e-6), 1e-12);
  EXPECT_EQ(time.stage_sends.within_bytes, 8e6);
  EXPECT_EQ(time.tokens, 200);
  // With two chunks a stage waits for half as long, and sends four messages instead of two.
  const PlannedTime turns = plan_time(step, {.pipeline = 2, .interleave = 2}, small_machine());
  EXPECT_NEAR(turns.idle_seconds, time.idle_seconds / 2, 1e-12);
  EXPECT_NEAR(turns.stage_sends.seconds, 2 * (4e6 / 4e9 + 4 * 10e-6), 1e-12);
  // Values of what both have come once a step.
  step.num_copied = 1000000;
  const PlannedTime tied = plan_time(step, {.pipeline = 2}, small_machine());
  EXPECT_NEAR(tied.stage_sends.seconds - time.stage_sends.seconds, 4e6 / 4e9 + 10e-6, 1e-12);
  EXPECT_EQ(tied.stage_sends.within_bytes, 12e6);
  // Two data-parallel ranks fill a node, so that the stages are on two.
  EXPECT_EQ(plan_time(step, {.pipeline = 2, .data = 2}, small_machine()).stage_sends.between_bytes,
            12e6);
}

TEST(PlanTime, OverlapHidesSumsBehindTheLastBackwardPass) {
  Machine machine = small_machine();
  machine.rates.at(2).overlap = 1;
  StepWork step = small_step();
  const double small_sums = plan_time(step, {.data = 2}, machine).exposed_data_seconds;
  EXPECT_LT(small_sums, 1e-3);
  // Never more than that pass lasts.
  step.pass = {};
  const PlannedTime bare = plan_time(step, {.data = 2}, machine);
  EXPECT_NEAR(bare.exposed_data_seconds, bare.data_sums.seconds, 1e-3);
  // Other numbers than powers of two do the same.
  const PlannedTime three = plan_time(small_step(), {.data = 3}, machine);
  EXPECT_LT(three.exposed_data_seconds, three.data_sums.seconds);
}

TEST(PlanTime, ADividedOptimizerUpdatesAShareAndSendsIt) {
  const Layout whole = {.data = 2}, divided = {.data = 2, .shard = recipe::Shard::kOptimizer};
  const PlannedTime a = plan_time(small_step(), whole, small_machine()),
                    b = plan_time(small_step(), divided, small_machine());
  EXPECT_NEAR(a.update_seconds - b.update_seconds, (kFloatsGB + 3) / 10 / 2, 1e-12);
  EXPECT_NEAR(b.data_sums.within_bytes, a.data_sums.within_bytes / 2, 1);
  EXPECT_NEAR(b.shared_updates.within_bytes, 1e9 * kFloatsGB / 2, 1);
  EXPECT_NEAR(b.exposed_data_seconds, b.data_sums.seconds + b.shared_updates.seconds, 1e-3);
}

// Two micro-batches: each one's gradients go to their owners, which copy and add half of them.
TEST(PlanTime, DividedGradientsAreSentInEveryMicroBatch) {
  const Layout optimizer = {.data = 2, .shard = recipe::Shard::kOptimizer},
               gradients = {.data = 2, .shard = recipe::Shard::kGradients};
  const PlannedTime a = plan_time(small_step(), optimizer, small_machine()),
                    b = plan_time(small_step(), gradients, small_machine());
  EXPECT_NEAR(b.data_sums.within_bytes, 2 * a.data_sums.within_bytes, 1);
  EXPECT_NEAR(b.data_sums.seconds, 2 * a.data_sums.seconds, 1e-9);
  EXPECT_NEAR(b.update_seconds - a.update_seconds, (3.0 / 2 + 4.0 / 2 - 3) * kFloatsGB / 10, 1e-12);
  EXPECT_EQ(b.shared_updates.within_bytes, a.shared_updates.within_bytes);
  StepWork one = small_step();
  one.num_micro_batches = 1;
  EXPECT_EQ(plan_time(one, gradients, small_machine()).step_seconds(),
            plan_time(one, optimizer, small_machine()).step_seconds());
}

TEST(PlanTime, TensorSumsAreWaitedFor) {
  StepWork step = small_step();
  step.pass.shared_sums[1000] = 3;
  const PlannedTime time = plan_time(step, {.tensor = 2}, small_machine());
  EXPECT_NEAR(time.tensor_sums.seconds, 2 * 3 * 2 * (10e-6 + 2000e-9 / 4), 1e-12);
  EXPECT_NEAR(time.tensor_sums.within_bytes, 2 * 3 * 4000, 1e-6);
}

// Gradients of what is used on divided rows, once a step, however many micro-batches it has.
TEST(PlanTime, PartsOfDividedRowsAreSummedOnce) {
  StepWork step = small_step();
  step.num_parts_of_rows = 500;
  const PlannedTime whole = plan_time(step, {.tensor = 2}, small_machine());
  EXPECT_NEAR(whole.tensor_sums.within_bytes, 2000, 1e-6);
  step.num_micro_batches = 1;
  EXPECT_EQ(plan_time(step, {.tensor = 2}, small_machine()).tensor_sums.within_bytes,
            whole.tensor_sums.within_bytes);
}

TEST(PlanTime, StepsAreKnownWhereTheRecipeSaysThem) {
  recipe::Recipe recipe = planned_gpt(1, 64, 1, 64, 100);
  recipe::Phase& phase = recipe.phases[0];
  EXPECT_EQ(num_steps_of(recipe, phase), 100);
  phase.stop = {.epochs = 3};
  EXPECT_EQ(num_steps_of(recipe, phase), std::nullopt);
  phase.max_train_samples = 10;  // 30 samples in steps of 8
  EXPECT_EQ(num_steps_of(recipe, phase), 4);
}

TEST(PlanTime, StorageIsWhatTheRuleKeepsAndWhatIsWritten) {
  recipe::Recipe recipe;
  recipe.checkpoint = {.every_steps = 30, .keep = 2, .keep_best = 1};
  const PlannedStorage known = plan_storage(recipe, 100, 1000);
  EXPECT_EQ(known.written_bytes, 4000);
  EXPECT_EQ(known.kept_bytes, 3000);
  EXPECT_EQ(plan_storage(recipe, 20, 1000).kept_bytes, 1000);
  EXPECT_EQ(plan_storage(recipe, std::nullopt, 1000).kept_bytes, 3000);
}

}  // namespace
}  // namespace polyphase
