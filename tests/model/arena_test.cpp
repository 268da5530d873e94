// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "comm/session.hpp"
#include "model/reference_run.hpp"
#include "train/largest_batch.hpp"

namespace polyphase {
namespace {

// With 224 masked rows the logits of 40,000 pieces pass the bytes of a block, with 208 they do not:
// the smaller batch must not take one wide block where memory was planned for two narrow ones.
TEST(ArenaPlan, HoldsForBatchesWithFewerMaskedRows) {
  recipe::Recipe recipe;
  recipe.model.num_layers = 1;
  recipe.model.width = 16;
  recipe.model.num_heads = 2;
  recipe.model.max_tokens = 32;
  recipe::Phase phase;
  phase.objectives = {{"mlm", 1.0}};
  const RankGrid grid = solo_grid();
  const auto model = make_phase_model(recipe, phase, {.vocab_size = 40000}, grid.tensor);
  model->parameters().allocate(1);
  model->parameters().initialise(1, 0.02);
  const Batch largest = largest_batch(recipe, phase, 37, 0);
  const Batch smaller = largest_batch(recipe, phase, 34, 0);
  ASSERT_EQ(largest.target_rows_M.size(), 224U);
  ASSERT_EQ(smaller.target_rows_M.size(), 208U);
  const std::size_t planned = model->plan_arena_bytes(largest, true);
  model->allocate_arena(planned);
  Batch batch = smaller;
  for (std::int32_t& id : batch.positions_N) id %= 32;  // as real rows have them
  for (std::int32_t& id : batch.segments_N) id %= 2;
  for (std::size_t m = 0; m < batch.target_rows_M.size(); ++m)
    batch.target_rows_M[m] = static_cast<std::int32_t>(m);
  model->parameters().begin_micro_batch(0);
  model->forward(batch, {}, {1.0F});
  model->backward([](std::size_t) {});
  EXPECT_LE(model->arena_peak_bytes(), planned);
}

}  // namespace
}  // namespace polyphase
