// SPDX-License-Identifier: Apache-2.0
// Layers that are run again in the backward pass: less memory, the same bits.
#include <gtest/gtest.h>

#include <algorithm>

#include "model/gradients.hpp"
#include "model/reference_run.hpp"
#include "train/largest_batch.hpp"

namespace polyphase {
namespace {

using recipe::Precision;
using recipe::Recompute;

struct Trace {
  std::vector<double> losses, norms;
  std::vector<float> gradients, parameters;
  bool operator==(const Trace&) const = default;
};

// Two steps with dropout everywhere.
Trace train(nlohmann::json reference, const char* mode, const RankGrid& grid, Precision precision) {
  reference["recompute"] = mode;
  ReferenceRun run(reference, grid, grid.data.size(), precision, 0.1);
  Trace trace;
  for (std::int64_t step = 0; step < 2; ++step) {
    const StepRecord record = run.step(step);
    trace.losses.push_back(record.loss);
    trace.norms.push_back(record.grad_norm);
    const std::vector<float> gradients = test::gradients_by_value(run.model().parameters());
    trace.gradients.insert(trace.gradients.end(), gradients.begin(), gradients.end());
  }
  trace.parameters = run.parameters();
  return trace;
}

void expect_same_bits(const nlohmann::json& reference, const RankGrid& grid,
                      const std::string& what) {
  for (const Precision precision : {Precision::kF32, Precision::kBf16}) {
    const Trace kept = train(reference, "none", grid, precision);
    for (const char* mode : {"selective", "full"}) {
      const Trace again = train(reference, mode, grid, precision);
      EXPECT_EQ(again.losses, kept.losses) << what << ", " << mode;
      EXPECT_EQ(again.norms, kept.norms) << what << ", " << mode;
      EXPECT_TRUE(again.gradients == kept.gradients) << what << ", " << mode;
      EXPECT_TRUE(again.parameters == kept.parameters) << what << ", " << mode;
    }
  }
}

// Every family and head, frozen and adapted parameters, a teacher.
TEST(Recompute, ChangesNoBitOfLossesAndGradients) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  for (const std::string& name : all_cases()) expect_same_bits(read_case(name), solo_grid(), name);
}

// A layer's sums over the ranks are repeated, by all of them in the same order.
TEST(Recompute, ChangesNoBitUnderTensorParallelism) {
  if (test_world->size() != 2) GTEST_SKIP() << "two ranks show it";
  const RankGrid grid = make_grid(*test_world, 2);
  for (const std::string& name : all_cases()) {
    nlohmann::json reference = read_case(name);
    expect_same_bits(reference, grid, name);
    reference["sequence"] = true;
    expect_same_bits(reference, grid, name + " with divided rows");
  }
}

TEST(Recompute, ChangesNoBitWithLayersPassedOverAndRDrop) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  for (const char* name :
       {"bert_postnorm_classification", "family_gpt2_classification", "family_t5_1_1_generation"}) {
    nlohmann::json reference = read_case(name);
    reference["phase"]["layer_drop"] = 0.5;
    reference["phase"]["r_drop"] = 1.0;
    expect_same_bits(reference, solo_grid(), name);
  }
}

TEST(Recompute, PlanIsTheExactPeak) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  for (const char* name : {"bert_postnorm_pretraining", "family_llama_clm", "family_t5_1_1_span",
                           "distil_layers_classification", "distil_layers_generation"}) {
    for (const char* mode : {"none", "selective", "full"}) {
      nlohmann::json reference = read_case(name);
      reference["recompute"] = mode;
      const RankGrid grid = solo_grid();
      ReferenceRun run(reference, grid, 1);
      const std::size_t planned =
          run.model().plan_arena_bytes(run.batches(0).micro_batches[0], true);
      run.step(0);
      EXPECT_EQ(run.model().arena_peak_bytes(), planned) << name << ", " << mode;
    }
  }
}

// What a further layer adds to the planned peak, in floats a row.
double floats_of_a_layer(Recompute mode) {
  constexpr std::int64_t kFewer = 4, kMore = 12;
  const RankGrid grid = solo_grid();
  std::vector<std::size_t> bytes;
  std::int64_t rows = 0;
  for (const std::int64_t layers : {kFewer, kMore}) {
    recipe::Recipe recipe;
    recipe.recompute = mode;
    recipe.model.num_layers = layers;
    recipe.model.width = 64;
    recipe.model.num_heads = 4;
    recipe::Phase phase;
    phase.objectives = {{"mlm", 1.0}};
    const auto model = make_phase_model(recipe, phase, {.vocab_size = 512}, grid.tensor);
    const Batch batch = largest_batch(recipe, phase, 8, 0);
    rows = static_cast<std::int64_t>(batch.tokens_N.size());
    bytes.push_back(model->plan_arena_bytes(batch, true));
  }
  return static_cast<double>(bytes[1] - bytes[0]) /
         static_cast<double>((kMore - kFewer) * rows * std::int64_t{sizeof(float)});
}

TEST(Recompute, LeavesOfALayerItsInput) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  constexpr double kWidth = 64, kHeads = 4, kStatistics = 2;
  // Queries, keys, values, heads; logarithms of softmax sums; both sums with their statistics.
  const double attention = 4 * kWidth + kHeads, sums = 2 * (kWidth + kStatistics);
  EXPECT_EQ(floats_of_a_layer(Recompute::kNone), attention + sums + 4 * kWidth);
  EXPECT_EQ(floats_of_a_layer(Recompute::kSelective), attention + sums);
  EXPECT_EQ(floats_of_a_layer(Recompute::kFull), kWidth + kStatistics);
}

}  // namespace
}  // namespace polyphase
