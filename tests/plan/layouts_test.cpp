// SPDX-License-Identifier: Apache-2.0
#include "plan/layouts.hpp"

#include <gtest/gtest.h>

#include <set>

#include "base/error.hpp"
#include "planned_recipe.hpp"
#include "recipe/load.hpp"
#include "train/plan_memory.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

// Costs that are easy to order: memory falls with tensor ranks, a divided optimizer, what is run
// again and a small micro-batch; time grows with what is run again.
PhaseCosts made_up_costs(double gib) {
  return {.memory_bytes =
              [gib](const recipe::Recipe& recipe, const recipe::Phase& phase, std::int64_t) {
                double size = gib / static_cast<double>(recipe.parallel.tensor);
                if (recipe.parallel.shard != recipe::Shard::kNone) size *= 0.5;
                if (recipe.recompute == recipe::Recompute::kFull) size *= 0.5;
                size *= static_cast<double>(recipe::micro_batch_of(phase)) / 2;
                return static_cast<std::int64_t>(size * kGiB);
              },
          .work =
              [](const recipe::Recipe& recipe, const recipe::Phase&, std::int64_t) {
                StepWork step;
                step.num_micro_batches = 1;
                step.tokens = 1;
                step.pass.moved_bytes = 1e9;
                if (recipe.recompute != recipe::Recompute::kNone) step.pass.moved_bytes *= 1.5;
                step.pass.shared_sums[1 << 20] = recipe.parallel.tensor > 1 ? 1 : 0;
                return step;
              }};
}

constexpr std::size_t kAll = 1000;

TEST(Layouts, EveryOneThatTheProgramCanRunIsThereOnce) {
  const recipe::Recipe recipe = planned_gpt(4, 256, 4, 64, 1000);
  std::set<std::tuple<std::int64_t, bool, std::int64_t, std::int64_t, recipe::Shard, int>> seen;
  const PlannedLayouts all = plan_layouts(recipe, 8, small_machine(), made_up_costs(0.5), kAll);
  for (const PlannedLayout& one : all.fitting) {
    const Layout& layout = one.layout;
    EXPECT_EQ(layout.num_ranks(), 8);
    // 8 sequences in micro-batches of 2: at most 4 data ranks; 4 heads: at most 4 tensor ranks; 4
    // layers: at most 4 chunks.
    EXPECT_LE(layout.data, 4);
    EXPECT_LE(layout.tensor, 4);
    EXPECT_LE(layout.pipeline * layout.interleave, 4);
    EXPECT_NO_THROW(recipe::check_layout(with_layout(recipe, layout), 8));
    EXPECT_TRUE(seen.insert({layout.tensor, layout.sequence, layout.pipeline, layout.interleave,
                             layout.shard, static_cast<int>(layout.recompute)})
                    .second);
  }
  // Each with three modes of recompute. One stage: 2 tensor × 4 data and 4 × 2, with rows divided
  // or not, and three ways to divide over data ranks. Two stages: 1 × 4, 2 × 2 in both ways and 4 ×
  // 1 in both, where there is nothing to divide; interleaved by two where a rank has a multiple of
  // two micro-batches: 2 × 2 and 4 × 1. Four stages: 1 × 2, and 2 × 1 in both ways.
  const std::size_t one_stage = 4 * 3, two_stages = 3 + 2 * 3 + 2 + 2 * 3 + 2, four_stages = 3 + 2;
  EXPECT_EQ(seen.size(), 3 * (one_stage + two_stages + four_stages));
  EXPECT_EQ(all.num_looked_at, seen.size());
}

// A teacher of another run with two layers, say.
TEST(Layouts, WhatATeacherCannotBeSplitIntoIsLeftOut) {
  const recipe::Recipe recipe = planned_gpt(4, 256, 4, 64, 1000);
  PhaseCosts costs = made_up_costs(0.5);
  costs.check_teachers = [](const recipe::Recipe& r, std::int64_t) {
    if (r.parallel.pipeline * r.parallel.interleave > 2) fail<RecipeError>("two layers");
  };
  const PlannedLayouts some = plan_layouts(recipe, 8, small_machine(), costs, kAll);
  EXPECT_FALSE(some.fitting.empty());
  for (const PlannedLayout& one : some.fitting)
    EXPECT_LE(one.layout.pipeline * one.layout.interleave, 2);
}

TEST(Layouts, GroupsOfASearchHoldWholeCopiesOfTheModel) {
  recipe::Recipe recipe = planned_gpt(4, 256, 4, 64, 1000);
  recipe.iterate.emplace().target.phase = "pretrain";
  recipe::Strategy& strategy = recipe.iterate->strategies.emplace_back();
  strategy.name = "rate";
  strategy.search.emplace().ranks_per_trial = 2;
  const PlannedLayouts some = plan_layouts(recipe, 4, small_machine(), made_up_costs(0.5), kAll);
  EXPECT_FALSE(some.fitting.empty());
  for (const PlannedLayout& one : some.fitting)
    EXPECT_LE(one.layout.tensor * one.layout.pipeline, 2);
}

TEST(Layouts, TheFastestThatFitsIsFirst) {
  const recipe::Recipe recipe = planned_gpt(2, 256, 4, 64, 1000);
  const auto roomy = plan_layouts(recipe, 2, small_machine(), made_up_costs(0.9), kAll).fitting;
  // No sums of activations, and no stages that wait.
  EXPECT_EQ(roomy.front().layout.data, 2);
  EXPECT_EQ(roomy.front().layout.recompute, recipe::Recompute::kNone);
  // A rank has 1 GiB: one tensor rank fits only with less in memory.
  const auto tight = plan_layouts(recipe, 2, small_machine(), made_up_costs(3.9), kAll).fitting;
  const PlannedLayout& best = tight.front();
  EXPECT_EQ(best.layout.shard, recipe::Shard::kOptimizer);
  EXPECT_EQ(best.layout.recompute, recipe::Recompute::kFull);
  for (std::size_t i = 0; i < tight.size(); ++i) {
    EXPECT_LE(tight[i].memory_bytes, kGiB);
    if (i > 0) {
      EXPECT_GE(tight[i].seconds, tight[i - 1].seconds);
    }
  }
  EXPECT_EQ(plan_layouts(recipe, 2, small_machine(), made_up_costs(3.9), 1).fitting.size(), 1);
}

TEST(Layouts, AdviceIsASmallerMicroBatchThenMoreRanksThenAnotherModel) {
  recipe::Recipe recipe = planned_gpt(2, 256, 4, 64, 1000);
  recipe.phases[0].batch = {.sequences = 64, .micro_batch = 8};
  const Machine machine = small_machine();
  // 8 sequences at once need 4 × 1.5 / 4 GiB and more.
  EXPECT_NE(
      advice(recipe, 2, machine, made_up_costs(1.8)).find("a micro_batch of at most 4 would fit"),
      std::string::npos)
      << advice(recipe, 2, machine, made_up_costs(1.8));
  // One sequence needs 0.5 × 20 / 4 on one tensor rank, 1.25 GiB on two, and fits on four.
  const std::string more = advice(recipe, 2, machine, made_up_costs(20));
  EXPECT_NE(more.find("4 ranks would do, with a micro_batch of 1 and 4 tensor × 1 data, sequence"),
            std::string::npos)
      << more;
  const std::string never = advice(recipe, 2, machine, made_up_costs(1000));
  EXPECT_NE(never.find("a smaller model.width, num_layers or max_tokens"), std::string::npos)
      << never;
}

// Sets of gradients of the micro-batches that wait for one another may be what does not fit.
TEST(Layouts, AdviceMayBeOneMicroBatchARank) {
  recipe::Recipe recipe = planned_gpt(2, 256, 4, 64, 1000);
  recipe.phases[0].batch = {.sequences = 64, .micro_batch = 1};
  PhaseCosts costs = made_up_costs(0);
  costs.memory_bytes = [](const recipe::Recipe&, const recipe::Phase& phase, std::int64_t data) {
    return kGiB * phase.batch.sequences / recipe::micro_batch_of(phase) / data;
  };
  const std::string text = advice(recipe, 2, small_machine(), costs);
  EXPECT_NE(text.find("steps of one micro-batch a rank would fit"), std::string::npos) << text;
}

// By the model's own counts: what fits says so, and what is said not to fit is larger.
TEST(Layouts, ARealModelIsLaidOutByItsOwnMemory) {
  const recipe::Recipe recipe = planned_gpt(2, 64, 4, 64, 1000);
  const PhaseCosts costs = {
      .memory_bytes =
          [](const recipe::Recipe& r, const recipe::Phase& phase, std::int64_t data) {
            return plan_memory(r, phase, static_cast<int>(data)).total_bytes();
          },
      .work = [](const recipe::Recipe& r, const recipe::Phase& phase,
                 std::int64_t data) { return count_step(r, phase, data); }};
  const auto layouts = plan_layouts(recipe, 4, small_machine(), costs, kAll).fitting;
  ASSERT_FALSE(layouts.empty());
  EXPECT_EQ(layouts.front().layout.recompute, recipe::Recompute::kNone);
}

}  // namespace
}  // namespace polyphase
