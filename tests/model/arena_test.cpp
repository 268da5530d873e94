// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <vector>

#include "comm/session.hpp"
#include "model/reference_run.hpp"
#include "train/largest_batch.hpp"
#include "train/plan_memory.hpp"

namespace polyphase {
namespace {

recipe::Recipe one_layer(recipe::Precision precision, std::int64_t width) {
  recipe::Recipe recipe;
  recipe.precision = precision;
  recipe.model.num_layers = 1;
  recipe.model.width = width;
  recipe.model.num_heads = 4;
  recipe.model.max_tokens = 128;
  return recipe;
}

recipe::Phase masked_language_model() {
  recipe::Phase phase;
  phase.objectives = {{"mlm", 1.0}};
  return phase;
}

// What a further column of the vocabulary adds to the planned peak: its logits, and neither their
// gradient nor a rounded copy of its row of the table.
TEST(ArenaPlan, OfALargerVocabularyGrowsByItsLogits) {
  for (const recipe::Precision precision : {recipe::Precision::kF32, recipe::Precision::kBf16}) {
    const recipe::Recipe recipe = one_layer(precision, 64);
    const recipe::Phase phase = masked_language_model();
    const RankGrid grid = solo_grid();
    const Batch batch = largest_batch(recipe, phase, 8, 0);
    const auto planned = [&](std::int64_t vocab_size) {
      const auto model = make_phase_model(recipe, phase, {.vocab_size = vocab_size}, grid.tensor);
      model->parameters().allocate_nothing();
      return model->plan_arena_bytes(batch, true);
    };
    constexpr std::int64_t kSmall = 16384, kLarge = 32768;
    EXPECT_EQ(planned(kLarge) - planned(kSmall),
              batch.target_rows_M.size() * (kLarge - kSmall) * sizeof(float));
  }
}

std::int64_t resident_mib() {
  std::int64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE) >> 20;
}

TEST(Arena, GivesBackWhatIsForgottenOfALargeOne) {
  for (const std::size_t mib : {256, 128}) {
    const std::size_t size = mib << 20, third = size / 3;
    Kokkos::View<std::byte*, Memory> memory(Kokkos::view_alloc(Kokkos::WithoutInitializing, ""),
                                            size);
    Arena arena(memory.data(), size);
    std::memset(memory.data(), 1, size);
    const std::int64_t before = resident_mib();
    arena.forget(2 * third, size);
    arena.forget(third, 2 * third);  // the page that both have a part of goes too
    const auto expected = mib == 256 ? static_cast<std::int64_t>(mib) * 2 / 3 : 0;
    EXPECT_NEAR(static_cast<double>(before - resident_mib()), static_cast<double>(expected), 5.0);
    EXPECT_EQ(memory(third - 1), std::byte{1});
  }
}

// BERT-base: what is in memory at once is less than all activations and all gradients.
TEST(ArenaPlan, OfALargeModelSparesWhatIsGivenBack) {
  recipe::Recipe recipe;
  recipe.model.num_layers = 12;
  recipe.model.width = 768;
  recipe.model.num_heads = 12;
  recipe.tokenizer.vocab_size = 30522;
  recipe::Phase phase = masked_language_model();
  phase.batch = {.sequences = 8, .micro_batch = 8};
  const PlannedMemory planned = plan_memory(recipe, phase, 1);
  const std::int64_t gradients = planned.num_parameters * std::int64_t{sizeof(float)};
  EXPECT_GT(planned.spared_bytes, std::int64_t{200} << 20);
  EXPECT_GT(planned.total_bytes(), planned.state_bytes + gradients);
  EXPECT_EQ(plan_memory(recipe, phase, 2).spared_bytes, 0);  // gradients go over a network
  recipe.model.num_layers = 4;
  EXPECT_EQ(plan_memory(recipe, phase, 1).spared_bytes, 0);  // too small to be worth it
}

// In bf16 the logits of 9,000 pieces are made in three blocks, in float32 in one.
TEST(Vocabulary, InBlocksGivesTheSameLossAndGradients) {
  std::map<recipe::Precision, std::vector<float>> gradients;
  std::map<recipe::Precision, double> nats;
  for (const recipe::Precision precision : {recipe::Precision::kF32, recipe::Precision::kBf16}) {
    const recipe::Recipe recipe = one_layer(precision, 16);
    const recipe::Phase phase = masked_language_model();
    const RankGrid grid = solo_grid();
    const auto model = make_phase_model(recipe, phase, {.vocab_size = 9000}, grid.tensor);
    model->parameters().allocate(1);
    model->parameters().initialise(1, 0.3);
    Batch batch = largest_batch(recipe, phase, 1, 0);
    for (std::int32_t& id : batch.segments_N) id %= 2;
    for (std::size_t m = 0; m < batch.target_rows_M.size(); ++m) {
      batch.target_rows_M[m] = static_cast<std::int32_t>(m);
      batch.target_labels_M[m] = static_cast<std::int32_t>(400 * m);  // in every block
    }
    model->allocate_arena(model->plan_arena_bytes(batch, true));
    model->parameters().begin_micro_batch(0);
    nats[precision] = model->forward(batch, {}, {1.0F})[0].nats;
    model->backward([](std::size_t) {});
    const Parameter& table = *model->parameters().find("embedding.token.weight");
    const float* first = model->parameters().gradients(0).data() + table.offset;
    gradients[precision].assign(first, first + table.count);
  }
  const std::vector<float>&exact = gradients[recipe::Precision::kF32],
        &rounded = gradients[recipe::Precision::kBf16];
  double distance = 0, norm = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    distance += std::pow(rounded[i] - exact[i], 2);
    norm += std::pow(exact[i], 2);
  }
  // bf16 rounds by up to 2⁻⁹; a dozen roundings lie between tokens and gradients.
  constexpr double kTolerance = 12.0 / 512.0;
  EXPECT_NEAR(nats[recipe::Precision::kBf16], nats[recipe::Precision::kF32],
              kTolerance * nats[recipe::Precision::kF32]);
  EXPECT_LT(std::sqrt(distance), kTolerance * std::sqrt(norm));
}

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
