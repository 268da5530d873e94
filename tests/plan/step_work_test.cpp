// SPDX-License-Identifier: Apache-2.0
#include "plan/step_work.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "plan/usual_batch.hpp"
#include "planned_recipe.hpp"
#include "train/plan_memory.hpp"

namespace polyphase {
namespace {

// Narayanan et al., 2021 ("Efficient large-scale language model training on GPU clusters using
// Megatron-LM", appendix), of a forward and a backward pass: 72·B·s·l·h²·(1 + s/6h + V/12lh); with
// every layer run again 96·B·s·l·h²·(1 + s/6h + V/16lh), of which the program leaves out the second
// product of the feed-forward layer, 8·B·s·l·h².
struct Published {
  double b, s, l, h, v;
  double layers() const { return b * s * l * h * h; }
  double once() const { return 72 * layers() * (1 + s / (6 * h) + v / (12 * l * h)); }
  double again() const { return 96 * layers() * (1 + s / (6 * h) + v / (16 * l * h)); }
};

TEST(StepWork, ModelFlopsArePublishedFormula) {
  for (const auto& [layers, width, heads, tokens, vocabulary] :
       {std::array<std::int64_t, 5>{4, 256, 4, 64, 1000}, {2, 512, 8, 128, 4096}}) {
    const recipe::Recipe recipe = planned_gpt(layers, width, heads, tokens, vocabulary);
    const StepWork step = count_step(recipe, recipe.phases[0], 1);
    const Published published = {2, static_cast<double>(tokens), static_cast<double>(layers),
                                 static_cast<double>(width), static_cast<double>(vocabulary)};
    EXPECT_DOUBLE_EQ(step.model_flops, published.once());
    EXPECT_EQ(step.tokens, 2 * tokens);
    EXPECT_EQ(step.num_micro_batches, 4);
  }
}

TEST(StepWork, StagesShareWhatOneRankDoes) {
  recipe::Recipe recipe = planned_gpt(4, 256, 4, 64, 1000);
  const StepWork whole = count_step(recipe, recipe.phases[0], 1);
  recipe.parallel.pipeline = 2;
  const StepWork longest = count_step(recipe, recipe.phases[0], 1);
  EXPECT_DOUBLE_EQ(2 * longest.model_flops, whole.model_flops);
  // That with the head: it sends back the gradients of its rows and of its copy of the table.
  EXPECT_GT(longest.pass.product_flops(), whole.pass.product_flops() / 2);
  EXPECT_EQ(longest.pass.passed_on, (2 * 64 + 1000) * 256);
  EXPECT_EQ(longest.num_copied, 1000 * 256);
  EXPECT_EQ(whole.pass.passed_on, 0);
  EXPECT_EQ(whole.num_copied, 0);
  // Rows go on from the first of its two chunks, and gradients back from both.
  recipe.parallel.interleave = 2;
  const StepWork turns = count_step(recipe, recipe.phases[0], 1);
  EXPECT_EQ(turns.pass.passed_on, (3 * 2 * 64 + 1000) * 256);
  EXPECT_DOUBLE_EQ(turns.pass.product_flops(), longest.pass.product_flops());
}

// What a phase freezes may be a layer's, so that each stage is looked at; here it is nothing.
TEST(StepWork, StagesThatAreAlikeAreCountedOnce) {
  recipe::Recipe recipe = planned_gpt(10, 64, 4, 64, 1000);
  recipe.phases[0].batch.sequences = 160;
  recipe::Phase each = recipe.phases[0];
  each.freeze = {"no.such.parameter"};
  for (const auto& [pipeline, interleave] :
       {std::pair<std::int64_t, std::int64_t>{4, 1}, {4, 2}, {5, 1}, {5, 2}, {8, 1}}) {
    recipe.parallel.pipeline = pipeline;
    recipe.parallel.interleave = interleave;
    const StepWork alike = count_step(recipe, recipe.phases[0], 2),
                   all = count_step(recipe, each, 2);
    EXPECT_DOUBLE_EQ(alike.model_flops, all.model_flops) << pipeline;
    EXPECT_EQ(alike.pass.product_flops(), all.pass.product_flops()) << pipeline;
    EXPECT_EQ(alike.pass.moved_bytes, all.pass.moved_bytes) << pipeline;
    for (const recipe::Shard shard :
         {recipe::Shard::kNone, recipe::Shard::kOptimizer, recipe::Shard::kGradients}) {
      recipe.parallel.shard = shard;
      EXPECT_EQ(plan_memory(recipe, recipe.phases[0], 2).total_bytes(),
                plan_memory(recipe, each, 2).total_bytes())
          << pipeline << " × " << interleave;
    }
    recipe.parallel.shard = recipe::Shard::kNone;
  }
}

// GPT-3 of 175 billion parameters, and the 22 billion of Korthikanti et al., 2022, table 3.
TEST(StepWork, CountsLargeModelsWithoutMakingThem) {
  const recipe::Recipe gpt3 = planned_gpt(96, 12288, 96, 2048, 51200);
  const StepWork step = count_step(gpt3, gpt3.phases[0], 1);
  const Published published = {2, 2048, 96, 12288, 51200};
  EXPECT_NEAR(step.model_flops / published.once(), 1.0, 1e-12);
  EXPECT_NEAR(static_cast<double>(step.num_parameters), 175e9, 1e9);
}

TEST(StepWork, RecomputeRunsLayersAgainButForTheLastProduct) {
  recipe::Recipe recipe = planned_gpt(4, 256, 4, 64, 1000);
  const StepWork none = count_step(recipe, recipe.phases[0], 1);
  recipe.recompute = recipe::Recompute::kFull;
  const StepWork full = count_step(recipe, recipe.phases[0], 1);
  const Published published = {2, 64, 4, 256, 1000};
  EXPECT_DOUBLE_EQ(full.pass.product_flops() + full.pass.whole_attention_flops -
                       none.pass.product_flops() - none.pass.whole_attention_flops,
                   published.again() - published.once() - 8 * published.layers());
  EXPECT_EQ(full.model_flops, none.model_flops);
}

TEST(StepWork, CausalAttentionLeavesOutWhatIsMasked) {
  const recipe::Recipe recipe = planned_gpt(1, 64, 1, 64, 100);
  const StepWork step = count_step(recipe, recipe.phases[0], 1);
  // Of 64 × 64 pairs 64·65/2; two products forward, five backward.
  EXPECT_DOUBLE_EQ(step.pass.attention_flops, 7 * 2.0 * 64 * 2 * 64 * 65 / 2);
  EXPECT_DOUBLE_EQ(step.pass.whole_attention_flops, 7 * 2.0 * 64 * 2 * 64 * 64);
}

// Of 62 tokens, 9 are taken out in 3 spans: 57 are read, and 13 written. In two parts: 32 and 32.
TEST(StepWork, SpansMakeShortTargets) {
  recipe::Recipe recipe = planned_gpt(1, 64, 1, 64, 100);
  recipe.model.family = recipe::Family::kT5;
  recipe::Phase& phase = recipe.phases[0];
  phase.objectives = {{"span", 1.0}};
  const Batch spans = usual_batch(recipe, phase, 4);
  EXPECT_EQ(spans.source.num_tokens(), 4 * 57);
  EXPECT_EQ(spans.num_tokens(), 4 * 13);
  EXPECT_EQ(spans.target_rows_M.size(), static_cast<std::size_t>(round_up(4 * 13, 16)));
  EXPECT_EQ(count_step(recipe, phase, 1).tokens, 2 * (57 + 13));
  phase.objectives = {{"prefix_lm", 1.0}};
  EXPECT_EQ(usual_batch(recipe, phase, 4).source.max_tokens, 32);
  EXPECT_EQ(usual_batch(recipe, phase, 4).max_tokens, 32);
  phase.objectives = {{"prefix_lm", 1.0}, {"span", 1.0}};
  EXPECT_EQ(usual_batch(recipe, phase, 4).source.max_tokens, (32 + 57) / 2);
}

TEST(StepWork, TensorRanksShareProductsAndSumFourTimesALayer) {
  recipe::Recipe recipe = planned_gpt(3, 256, 4, 64, 1024);
  const StepWork alone = count_step(recipe, recipe.phases[0], 1);
  recipe.parallel.tensor = 2;
  const StepWork half = count_step(recipe, recipe.phases[0], 1);
  EXPECT_DOUBLE_EQ(half.pass.product_flops(), alone.pass.product_flops() / 2);
  EXPECT_DOUBLE_EQ(half.pass.attention_flops, alone.pass.attention_flops / 2);
  EXPECT_TRUE(alone.pass.shared_sums.empty());
  // Each of 2·64 rows × 256: twice a layer in both directions, of the embeddings, and of the head's
  // gradient.
  const std::map<std::int64_t, std::int64_t> expected = {{2 * 64 * 256, 4 * 3 + 2}};
  EXPECT_EQ(half.pass.shared_sums, expected);
}

// Each sum but that of the head's gradient is one of parts, and rows are gathered behind each norm,
// in the backward pass again and of gradients in front of row-split products, and in front of the
// embeddings' tables: each of these is half a sum.
TEST(StepWork, DividedRowsAreSummedInPartsAndGathered) {
  recipe::Recipe recipe = planned_gpt(3, 256, 4, 64, 1024);
  recipe.parallel.tensor = 2;
  const StepWork whole = count_step(recipe, recipe.phases[0], 1);
  recipe.parallel.sequence = true;
  const StepWork divided = count_step(recipe, recipe.phases[0], 1);
  using Calls = std::map<std::int64_t, std::int64_t>;
  constexpr std::int64_t kFloats = 2 * 64 * 256;
  constexpr std::int64_t kSums = 4 * 3 + 1, kGathers = (2 * 3 + 1) + 2 * 2 * 3 + 1;
  EXPECT_EQ(divided.pass.shared_sums, (Calls{{kFloats, 1}, {kFloats / 2, kSums + kGathers}}));
  EXPECT_EQ(divided.pass.products, whole.pass.products);
  EXPECT_LT(divided.pass.moved_bytes, whole.pass.moved_bytes);
  EXPECT_EQ(whole.num_parts_of_rows, 0);
  EXPECT_EQ(divided.num_parts_of_rows, 3 * 6 * 256 + 2 * 256);  // of GPT-2: shifts, gains, biases
}

// Also on a processor that has no such products and multiplies in float32.
TEST(StepWork, ProductsHaveTheRecipesPrecision) {
  recipe::Recipe recipe = planned_gpt(2, 256, 4, 64, 1000);
  const StepWork in_float = count_step(recipe, recipe.phases[0], 1);
  recipe.precision = recipe::Precision::kBf16;
  const StepWork in_bf16 = count_step(recipe, recipe.phases[0], 1);
  for (const auto& [product, calls] : in_float.pass.products) EXPECT_FALSE(product.bf16);
  for (const auto& [product, calls] : in_bf16.pass.products) EXPECT_TRUE(product.bf16);
  EXPECT_DOUBLE_EQ(in_bf16.pass.product_flops(), in_float.pass.product_flops());
}

TEST(StepWork, FrozenWeightsHaveNoGradients) {
  recipe::Recipe recipe = planned_gpt(2, 256, 4, 64, 1000);
  const StepWork all = count_step(recipe, recipe.phases[0], 1);
  recipe.phases[0].freeze = {"*feed_forward*"};
  const StepWork less = count_step(recipe, recipe.phases[0], 1);
  // A third of 6·B·s·8h² a layer.
  EXPECT_DOUBLE_EQ(all.pass.product_flops() - less.pass.product_flops(),
                   2 * 2.0 * 64 * 2 * 8 * 256 * 256);
  EXPECT_LT(less.num_trained, all.num_trained - 2 * 8 * 256 * 256 + 1);
  EXPECT_LT(less.update.moved_bytes, all.update.moved_bytes);
}

TEST(StepWork, AdamReadsAndWritesSevenTimesAParameter) {
  recipe::Recipe recipe = planned_gpt(2, 256, 4, 64, 1000);
  for (const auto& [precision, bytes] :
       {std::pair{recipe::Precision::kF32, 28.0}, {recipe::Precision::kBf16, 20.0}}) {
    recipe.phases[0].optimizer.state_precision = precision;
    const StepWork step = count_step(recipe, recipe.phases[0], 1);
    const auto parameters = static_cast<double>(step.num_parameters);
    EXPECT_NEAR(step.update.moved_bytes, bytes * parameters, 0.001 * bytes * parameters);
    // With two moments in float32, whatever memory has.
    EXPECT_NEAR(static_cast<double>(step.checkpoint_bytes), 12.0 * parameters, 0.012 * parameters);
  }
}

}  // namespace
}  // namespace polyphase
