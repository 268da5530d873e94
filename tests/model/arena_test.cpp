// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

#include "comm/session.hpp"
#include "model/gradients.hpp"
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
      return model->plan_arena_bytes(batch, true);
    };
    constexpr std::int64_t kSmall = 16384, kLarge = 32768;
    EXPECT_EQ(planned(kLarge) - planned(kSmall),
              batch.target_rows_M.size() * (kLarge - kSmall) * sizeof(float));
  }
}

TEST(Arena, HandsOutNothingBehindItsLimit) {
  std::vector<std::byte> memory(1024);
  Arena arena(memory.data(), memory.size());
  arena.take1<float>(64);
  arena.limit(512);
  arena.take1<float>(64);
  EXPECT_THROW(arena.take1<float>(1), std::exception);
  arena.release(512);
  EXPECT_THROW(arena.limit(448), std::exception);  // what lies there is in use
  arena.lift_limit();
  arena.take1<float>(128);
}

// What a pass writes first, with most of the arena in use, lies last.
// A backward pass gives back and takes anew. What does not fit into the first of two pieces lies in
// the second, which has enough if it is larger than what was in use behind the first by the largest
// piece.
TEST(Arena, InTwoPiecesNeedsNoMoreThanItsLargestPieceMore) {
  constexpr std::size_t kKept = 1024;
  const auto pass = [](Arena& arena) {
    arena.take1<std::byte>(640);
    const std::size_t below = arena.used_bytes();
    arena.take1<std::byte>(384);
    arena.take1<std::byte>(128);  // behind what is kept
    arena.release(below);
    arena.take1<std::byte>(128);
    arena.take1<std::byte>(448);  // crosses: 256 bytes of the first piece are left over
    arena.take1<std::byte>(64);
    arena.release(0);
  };
  Arena counting;
  pass(counting);
  EXPECT_EQ(counting.largest_taken_bytes(), 640U);
  const std::size_t behind = counting.peak_bytes() - kKept + 448;
  std::vector<std::byte> memory(kKept + behind);
  Arena two(memory.data(), kKept, memory.data() + kKept, behind);
  pass(two);
  EXPECT_LE(two.peak_bytes(), kKept + behind);
  EXPECT_GT(two.peak_bytes(), counting.peak_bytes());
}

TEST(GradientLayout, FollowsTheUseOfTheArena) {
  ParameterSet parameters;
  for (const char* name : {"table", "lower", "upper", "frozen", "head"})
    parameters.declare({.name = name, .global_shape = {100}});
  parameters.declare({.name = "head's second", .global_shape = {10}, .joins_previous = true});
  parameters.declare({.name = "frozen matrix", .global_shape = {10, 10}});
  Arena counting;
  GradientWrites writes;
  writes.begin_pass(counting, parameters.all().size(), parameters.all().size());
  counting.take1<float>(1000);
  writes.hear(4, 2);
  writes.hear(0, 1);
  counting.release(2400);
  counting.take1<float>(200);  // 800 bytes
  writes.hear(2, 1);
  counting.release(0);
  counting.take1<float>(32);
  writes.hear(1, 1);
  counting.take1<float>(32);
  counting.release(0);
  writes.end_pass();
  const GradientLayout layout = writes.layout(parameters.all());
  // Alignment leaves 12 floats behind 100. "lower" has 256 bytes in use behind it, "upper" 3,232,
  // "table" and "head" 4,032; "frozen", which is no matrix, could be written at any time.
  EXPECT_EQ(layout.offsets, (std::vector<std::int64_t>{224, 0, 112, 336, 448, 548, -1}));
  EXPECT_EQ(layout.count, 560);
  EXPECT_EQ(layout.first_byte, 4032 - 224 * sizeof(float));
}

// A table that the head shares, and layers above each other: what other ranks keep makes room, once
// the gradients of the next layer are final too.
TEST(GradientLayout, GivesBackWhatOtherRanksKeep) {
  ParameterSet parameters;
  for (const char* name : {"table", "lower", "upper", "head"})
    parameters.declare({.name = name, .global_shape = {10, 10}});
  Arena counting;
  GradientWrites writes;
  writes.begin_pass(counting, parameters.all().size(), parameters.all().size());
  writes.hear(3, 1);
  writes.hear(0, 1);
  for (const std::size_t layer : {2, 1}) {
    writes.final_from(layer + 1);
    writes.hear(layer, 1);
  }
  writes.final_from(1);
  writes.end_pass();
  const StorageRange rows_of_table = {.begin = 50, .end = 100};
  for (const bool in_place : {false, true}) {
    const GradientLayout layout =
        writes.layout(parameters.all(), GradientShare{rows_of_table, in_place});
    EXPECT_EQ(layout.stops, (std::vector<std::size_t>{3, 2, 1, 0}));
    EXPECT_EQ(layout.count, 3 * 112);
    EXPECT_EQ(layout.offsets[1], layout.offsets[3]);  // "lower" lies where "head" lay
    EXPECT_EQ(layout.written_behind[1], 2U);
    EXPECT_NE(layout.offsets[2], layout.offsets[3]);  // which is under way while "upper" is made
    if (!in_place) {
      EXPECT_EQ(layout.sum_count, 64);
      EXPECT_EQ(layout.sum_offsets, (std::vector<std::int64_t>{-50, -1, -1, -1}));
    }
  }
  // What it keeps of the head stays; nothing else fits there.
  const GradientLayout keeps =
      writes.layout(parameters.all(), GradientShare{{.begin = 336, .end = 436}, true});
  EXPECT_NE(keeps.offsets[1], keeps.offsets[3]);
}

// BERT-base: gradients take the place of activations that are done with.
TEST(ArenaPlan, GradientsShareMemoryWithActivations) {
  recipe::Recipe recipe;
  recipe.model.num_layers = 12;
  recipe.model.width = 768;
  recipe.model.num_heads = 12;
  recipe.tokenizer.vocab_size = 30522;
  recipe::Phase phase = masked_language_model();
  phase.batch = {.sequences = 8, .micro_batch = 8};
  const PlannedMemory planned = plan_memory(recipe, phase, 1);
  const std::int64_t gradients = planned.num_parameters * std::int64_t{sizeof(float)};
  EXPECT_NEAR(static_cast<double>(planned.gradient_bytes), static_cast<double>(gradients), 1e5);
  EXPECT_GT(planned.shared_bytes, std::int64_t{300} << 20);
  EXPECT_GT(planned.total_bytes(), planned.state_bytes + gradients);
  phase.batch.micro_batch = 4;  // gradients of the first half wait for those of the second
  EXPECT_EQ(plan_memory(recipe, phase, 1).shared_bytes, 0);
}

// Heads run one after the other, each as if all samples of a micro-batch were its own. Only the
// table's gradient is then added to, for which some processors' products want some workspace more.
TEST(ArenaPlan, SeveralObjectivesTakeTheMemoryOfTheLargest) {
  recipe::Recipe recipe = one_layer(recipe::Precision::kF32, 64);
  const auto planned = [&](const std::map<std::string, double>& objectives) {
    recipe::Phase phase = masked_language_model();
    phase.objectives = objectives;
    return static_cast<double>(plan_memory(recipe, phase, 1).total_bytes());
  };
  // Of more than 40 MB; to add to a result, oneDNN takes 64 KiB a thread and two cache lines.
  const double workspace = Space().concurrency() * 65536.0 + 128.0;
  recipe.model.segments = false;
  recipe.model.family = recipe::Family::kGpt;
  EXPECT_NEAR(planned({{"clm", 1.0}, {"prefix_lm", 1.0}}), planned({{"prefix_lm", 1.0}}),
              workspace);
  recipe.model.family = recipe::Family::kT5;
  EXPECT_NEAR(planned({{"span", 1.0}, {"prefix_lm", 1.0}}), planned({{"span", 1.0}}), workspace);
}

// Of a step's four micro-batches, or of one without activations to lie among.
TEST(ArenaPlan, DividedGradientsNeedLess) {
  recipe::Recipe recipe;
  recipe.model.num_layers = 12;
  recipe.model.width = 768;
  recipe.model.num_heads = 12;
  recipe.model.max_tokens = 128;
  recipe.tokenizer.vocab_size = 30522;
  recipe::Phase phase = masked_language_model();
  const auto training = [&](recipe::Shard shard, int num_ranks, std::int64_t num_micro_batches) {
    recipe.parallel.shard = shard;
    phase.batch = {.sequences = num_ranks * num_micro_batches, .micro_batch = 1};
    const PlannedMemory planned = plan_memory(recipe, phase, num_ranks);
    return static_cast<double>(planned.gradient_bytes + planned.activation_bytes -
                               planned.shared_bytes);
  };
  for (const int ranks : {2, 4, 8}) {
    const double table = 4.0 * 30522 * 768;  // from the first pass over it to the last
    for (const std::int64_t micro_batches : {1, 4}) {
      const double all = training(recipe::Shard::kOptimizer, ranks, micro_batches),
                   divided = training(recipe::Shard::kGradients, ranks, micro_batches);
      const double sets = micro_batches == 1 ? 1 : 3;
      EXPECT_LT(divided, std::min(0.9 * all, all / ranks * 1.1 + table + 3 * all / sets / 12))
          << ranks << " ranks, " << micro_batches << " micro-batches";
    }
  }
}

// Beside low-rank additions, gradients are those of what is trained and of norms and biases, whose
// kernels make them in passing.
TEST(ArenaPlan, FrozenWeightsHaveNoGradients) {
  recipe::Recipe recipe = one_layer(recipe::Precision::kF32, 64);
  recipe::Phase phase = masked_language_model();
  const std::int64_t all = plan_memory(recipe, phase, 1).gradient_bytes;
  phase.adaptation.lora = recipe::Lora{.rank = 2, .alpha = 2.0, .match = {"*query.weight"}};
  const PlannedMemory adapted = plan_memory(recipe, phase, 1);
  phase.adaptation.lora.reset();
  phase.freeze = {"embedding.*", "layers.0.*.weight"};
  const PlannedMemory frozen = plan_memory(recipe, phase, 1);
  EXPECT_LT(adapted.gradient_bytes, all / 20);
  EXPECT_LT(frozen.gradient_bytes, all / 20);
}

// In bf16 the logits of 9,000 pieces are made in three blocks, in float32 in one.
TEST(Vocabulary, InBlocksGivesTheSameLossAndGradients) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  std::map<recipe::Precision, std::vector<float>> gradients;
  std::map<recipe::Precision, double> nats;
  for (const recipe::Precision precision : {recipe::Precision::kF32, recipe::Precision::kBf16}) {
    const recipe::Recipe recipe = one_layer(precision, 16);
    const recipe::Phase phase = masked_language_model();
    const RankGrid grid = solo_grid();
    const auto model = make_phase_model(recipe, phase, {.vocab_size = 9000}, grid.tensor);
    Batch batch = largest_batch(recipe, phase, 1, 0);
    for (std::int32_t& id : batch.segments_N) id %= 2;
    for (std::size_t m = 0; m < batch.target_rows_M.size(); ++m) {
      batch.target_rows_M[m] = static_cast<std::int32_t>(m);
      batch.target_labels_M[m] = static_cast<std::int32_t>(400 * m);  // in every block
    }
    model->plan_arena_bytes(batch, true);
    model->allocate_training(1, 0, {}, grid.data);
    model->parameters().initialise(1, 0.3);
    model->parameters().begin_micro_batch(0);
    nats[precision] = model->forward(batch, {}, {1.0F})[0].nats;
    model->backward([](std::size_t) {});
    const Parameter& table = *model->parameters().find("embedding.token.weight");
    gradients[precision] = test::read_tensor(test::gradient_of(model->parameters(), table));
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
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  recipe::Recipe recipe;
  recipe.model.num_layers = 1;
  recipe.model.width = 16;
  recipe.model.num_heads = 2;
  recipe.model.max_tokens = 32;
  recipe::Phase phase;
  phase.objectives = {{"mlm", 1.0}};
  const RankGrid grid = solo_grid();
  const auto model = make_phase_model(recipe, phase, {.vocab_size = 40000}, grid.tensor);
  const Batch largest = largest_batch(recipe, phase, 37, 0);
  const Batch smaller = largest_batch(recipe, phase, 34, 0);
  ASSERT_EQ(largest.target_rows_M.size(), 224U);
  ASSERT_EQ(smaller.target_rows_M.size(), 208U);
  const std::size_t planned = model->plan_arena_bytes(largest, true);
  model->allocate_training(1, 0, {}, grid.data);
  model->parameters().initialise(1, 0.02);
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
