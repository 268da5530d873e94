// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>

#include "comm/session.hpp"
#include "model/gradients.hpp"
#include "model/reference_run.hpp"
#include "recipe/load.hpp"
#include "recipe/optimizers.hpp"
#include "train/largest_batch.hpp"
#include "train/step.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kVocabulary = 300;
constexpr int kMicroBatches = 8;  // of a step on all ranks

// So deep that gradients of lower layers lie where those of upper layers lay, and with layers that
// some steps pass over.
recipe::Recipe deep_recipe(recipe::Shard shard, const std::string& family,
                           const std::string& optimizer) {
  recipe::Recipe recipe;
  recipe.model =
      recipe::family_defaults(family == "t5" ? recipe::Family::kT5 : recipe::Family::kBert);
  recipe.model.num_layers = family == "t5" ? 4 : 7;
  recipe.model.width = 16;
  recipe.model.num_heads = 2;
  recipe.model.max_tokens = 16;
  recipe.model.tied_output = family != "untied";
  recipe.parallel.shard = shard;
  recipe.parallel.sequence = true;  // of one tensor-parallel rank without effect
  recipe.recompute = recipe::Recompute::kFull;
  recipe.phases.resize(1);
  recipe::Phase& phase = recipe.phases[0];
  phase.objectives = {{family == "t5" ? "span" : "mlm", 1.0}};
  phase.optimizer = recipe::optimizer_defaults(optimizer);
  return recipe;
}

Batch batch_of(const recipe::Recipe& recipe, std::int64_t number) {
  Batch batch = largest_batch(recipe, recipe.phases[0], 2, 0);
  const auto fill_rows = [&](Rows& rows) {
    for (std::size_t i = 0; i < rows.tokens_N.size(); ++i) {
      rows.tokens_N[i] = static_cast<std::int32_t>((11 * i + 37 * number) % kVocabulary);
      rows.positions_N[i] %= 16;
      rows.segments_N[i] %= 2;
      rows.row_ids_N[i] = (static_cast<std::uint64_t>(number) << 20) + i;
    }
  };
  fill_rows(batch);
  if (!batch.source.tokens_N.empty()) fill_rows(batch.source);
  for (std::size_t m = 0; m < batch.target_rows_M.size(); ++m) {
    const bool is_row = m < batch.tokens_N.size();
    batch.target_rows_M[m] = is_row ? static_cast<std::int32_t>(m) : -1;
    batch.target_labels_M[m] =
        is_row ? static_cast<std::int32_t>((5 * m + 3 * number) % kVocabulary) : -1;
  }
  return batch;
}

struct Trace {
  std::vector<double> losses, norms;
  std::vector<float> values;
};

Trace train(const recipe::Recipe& recipe, const RankGrid& grid, int micro_batches) {
  const recipe::Phase& phase = recipe.phases[0];
  const auto model = make_phase_model(recipe, phase, {.vocab_size = kVocabulary}, grid.tensor);
  ParameterSet& parameters = model->parameters();
  const Shards shards = make_shards(recipe, phase, parameters, grid.data.rank(), grid.data.size());
  Optimizer optimizer(parameters, phase, grid.tensor, shards);
  optimizer.allocate();
  optimizer.mark_trained(parameters);
  model->plan_arena_bytes(batch_of(recipe, 0), true);
  const int ranks = grid.data.size(), mine = micro_batches / ranks;
  model->allocate_training(GradientReducer::num_gradient_sets(mine),
                           optimizer.plan_arena_bytes(parameters), shards, grid.data);
  parameters.initialise(1, 0.3);
  GradientReducer reducer(model->exec(), parameters, grid.data, shards,
                          recipe.parallel.sequence ? &grid.tensor : nullptr);
  Trace trace;
  for (std::int64_t step = 0; step < 4; ++step) {
    StepBatches batches;
    for (int i = 0; i < mine; ++i) {
      const std::int64_t number =
          micro_batch_number(dealing_of(shards), grid.data.rank(), ranks, i, mine);
      batches.micro_batches.push_back(batch_of(recipe, step * micro_batches + number));
    }
    const StepRecord record = train_step(
        {.step = step,
         .learning_rate = 1e-2,
         .max_grad_norm = 0.5,
         .max_grad_value = 0.1,
         .dropout = {.hidden = 0.1F, .attention = 0.1F, .layers = 0.4F, .key = 5, .step = step},
         .penalty = {.l1 = 1e-4, .l2 = 1e-3}},
        batches, *model, reducer, optimizer, grid);
    trace.losses.push_back(record.loss);
    trace.norms.push_back(record.grad_norm);
  }
  for (const Parameter& parameter : parameters.all()) {
    const std::vector<float> value = test::read_tensor(test::value_of(parameters, parameter));
    trace.values.insert(trace.values.end(), value.begin(), value.end());
  }
  return trace;
}

// With one micro-batch a rank, and with several.
TEST(DividedGradients, OfADeepModelGiveTheSameBits) {
  for (const int tensor : {1, 2}) {
    if (test_world->size() % (2 * tensor) != 0) continue;
    const RankGrid grid = make_grid(*test_world, tensor);
    for (const auto& [family, optimizer] : std::map<std::string, std::string>{
             {"bert", "adamw"}, {"untied", "muon"}, {"t5", "lamb"}}) {
      for (const int micro_batches : {grid.data.size(), kMicroBatches}) {
        const Trace whole =
            train(deep_recipe(recipe::Shard::kNone, family, optimizer), grid, micro_batches);
        const Trace divided =
            train(deep_recipe(recipe::Shard::kGradients, family, optimizer), grid, micro_batches);
        const std::string name =
            fmt::format("{}, {} tensor ranks, {} micro-batches", family, tensor, micro_batches);
        EXPECT_EQ(divided.losses, whole.losses) << name;
        EXPECT_EQ(divided.norms, whole.norms) << name;
        EXPECT_TRUE(divided.values == whole.values) << name;
      }
    }
  }
}

}  // namespace
}  // namespace polyphase
