// SPDX-License-Identifier: Apache-2.0
// Tensor-parallel ranks that divide the rows between products, too: less memory, and the bits of
// those that do not, but for sums over rows.
#include <gtest/gtest.h>

#include <cmath>

#include "model/gradients.hpp"
#include "model/reference_run.hpp"
#include "train/largest_batch.hpp"
#include "train/plan_memory.hpp"

namespace polyphase {
namespace {

struct FirstStep {
  double loss = 0, norm = 0;
  std::vector<double> losses;
  std::vector<float> gradients;
  std::vector<Parameter> parameters;
};

FirstStep first_step(nlohmann::json reference, bool divides_rows, const RankGrid& grid,
                     std::int64_t num_micro_batches, recipe::Precision precision) {
  reference["sequence"] = divides_rows;
  reference["optimizer"]["max_grad_norm"] = 0;
  ReferenceRun run(reference, grid, num_micro_batches, precision, 0.1);
  const StepRecord record = run.step(0);
  return {.loss = record.loss,
          .norm = record.grad_norm,
          .losses = record.losses,
          .gradients = test::gradients_by_value(run.model().parameters()),
          .parameters = run.model().parameters().all()};
}

// A sum over all rows, and the same in as many parts as there are ranks.
constexpr double kRoundingOfSums = 1e-4;
// Of rows that cancel each other, such as those in front of a softmax over rows: float32's epsilon.
constexpr double kRoundingOfNothing = 1.2e-7;

void expect_bits_of_whole_rows(const nlohmann::json& reference, const RankGrid& grid,
                               std::int64_t num_micro_batches, recipe::Precision precision,
                               const std::string& what) {
  const FirstStep whole = first_step(reference, false, grid, num_micro_batches, precision),
                  divided = first_step(reference, true, grid, num_micro_batches, precision);
  EXPECT_EQ(divided.loss, whole.loss) << what;
  EXPECT_EQ(divided.losses, whole.losses) << what;
  EXPECT_NEAR(divided.norm, whole.norm, kRoundingOfSums * whole.norm) << what;
  if (num_micro_batches > 1) return;  // a set has gradients of some of them
  for (const Parameter& parameter : whole.parameters) {
    double difference = 0, norm = 0;
    for (std::int64_t i = parameter.offset; i < parameter.offset + parameter.count; ++i) {
      const double exact = whole.gradients[static_cast<std::size_t>(i)];
      difference += std::pow(divided.gradients[static_cast<std::size_t>(i)] - exact, 2);
      norm += std::pow(exact, 2);
    }
    const double allowed = kRoundingOfSums * std::sqrt(norm) + kRoundingOfNothing * whole.norm;
    EXPECT_LE(std::sqrt(difference), parameter.spec.sums_own_rows ? allowed : 0.0)
        << what << ", " << parameter.spec.name;
  }
}

// Every family, head, adaptation and teacher, with dropout, on whole blocks of rows.
TEST(DividedRows, GiveTheBitsOfWholeOnes) {
  const RankGrid grid = make_grid(*test_world, test_world->size());
  for (const std::string& name : all_cases()) {
    for (const recipe::Precision precision : {recipe::Precision::kF32, recipe::Precision::kBf16}) {
      for (const std::int64_t num_micro_batches : {1, 2})
        expect_bits_of_whole_rows(read_case(name), grid, num_micro_batches, precision, name);
    }
  }
}

const char* const kFewCases[] = {"bert_postnorm_classification", "bert_prenorm_pretraining",
                                 "family_gpt2_clm", "family_t5_1_1_span",
                                 "distil_layers_generation"};

// Without padding rows, the number of rows is seldom a multiple of that of ranks.
TEST(DividedRows, OfUnevenNumbersGiveTheSameBits) {
  const RankGrid grid = make_grid(*test_world, test_world->size());
  for (const char* name : kFewCases) {
    nlohmann::json reference = read_case(name);
    reference["row_multiple"] = 1;
    for (const std::int64_t num_micro_batches : {1, 4}) {
      for (const recipe::Precision precision : {recipe::Precision::kF32, recipe::Precision::kBf16})
        expect_bits_of_whole_rows(reference, grid, num_micro_batches, precision, name);
    }
  }
}

// One row a micro-batch: all ranks but the last have none.
TEST(DividedRows, MayBeFewerThanRanks) {
  const RankGrid grid = make_grid(*test_world, test_world->size());
  nlohmann::json reference = read_case("family_gpt2_clm");
  reference["row_multiple"] = 1;
  reference["batches"][0]["starts"] = {0, 1, 2, 3, 4};
  expect_bits_of_whole_rows(reference, grid, 4, recipe::Precision::kF32, "one row");
}

TEST(DividedRows, OfRepeatedSequencesAndFewerLayersGiveTheSameBits) {
  const RankGrid grid = make_grid(*test_world, test_world->size());
  for (const char* name :
       {"bert_postnorm_classification", "family_gpt2_classification", "family_t5_1_1_generation"}) {
    nlohmann::json reference = read_case(name);
    reference["phase"]["layer_drop"] = 0.5;
    reference["phase"]["r_drop"] = 1.0;
    expect_bits_of_whole_rows(reference, grid, 1, recipe::Precision::kF32, name);
  }
}

TEST(DividedRows, PlanIsTheExactPeak) {
  const RankGrid grid = make_grid(*test_world, test_world->size());
  for (const char* name : kFewCases) {
    for (const char* mode : {"none", "selective", "full"}) {
      nlohmann::json reference = read_case(name);
      reference["sequence"] = true;
      reference["recompute"] = mode;
      ReferenceRun run(reference, grid, 1);
      const std::size_t planned =
          run.model().plan_arena_bytes(run.batches(0).micro_batches[0], true);
      run.step(0);
      EXPECT_EQ(run.model().arena_peak_bytes(), planned) << name << ", " << mode;
    }
  }
}

// What `polyphase plan` says, and what the first rank of the job has: others may have a piece more
// of the vocabulary.
TEST(DividedRows, PlanIsWhatTheFirstRankHas) {
  const RankGrid grid = make_grid(*test_world, test_world->size());
  for (const char* name : {"bert_prenorm_pretraining", "family_gpt2_clm", "family_t5_1_1_span"}) {
    nlohmann::json reference = read_case(name);
    reference["sequence"] = true;
    ReferenceRun run(reference, grid, 1);
    recipe::Recipe recipe = run.recipe();
    recipe.parallel.tensor = grid.tensor.size();
    recipe.tokenizer.vocab_size = reference.at("vocabulary");
    if (grid.tensor.rank() > 0) continue;
    const PlannedMemory planned = plan_memory(recipe, recipe.phases.back(), 1);
    EXPECT_EQ(planned.gradient_bytes + planned.activation_bytes - planned.shared_bytes,
              static_cast<std::int64_t>(run.model().arena_capacity_bytes()))
        << name;
  }
}

// What a further layer adds to the planned peak, in floats a row.
double floats_of_a_layer(int num_tensor_ranks, bool divides_rows) {
  constexpr std::int64_t kFewer = 4, kMore = 12;
  const Communicator tensor = planning_communicator(num_tensor_ranks);
  std::vector<std::size_t> bytes;
  std::int64_t num_rows = 0;
  for (const std::int64_t layers : {kFewer, kMore}) {
    recipe::Recipe recipe;
    recipe.parallel = {.tensor = num_tensor_ranks, .sequence = divides_rows};
    recipe.model.num_layers = layers;
    recipe.model.width = 64;
    recipe.model.num_heads = 4;
    recipe::Phase phase;
    phase.objectives = {{"mlm", 1.0}};
    const auto model = make_phase_model(recipe, phase, {.vocab_size = 512}, tensor);
    const Batch batch = largest_batch(recipe, phase, 8, 0);
    num_rows = static_cast<std::int64_t>(batch.tokens_N.size());
    bytes.push_back(model->plan_arena_bytes(batch, true));
  }
  return static_cast<double>(bytes[1] - bytes[0]) /
         static_cast<double>((kMore - kFewer) * num_rows * std::int64_t{sizeof(float)});
}

// Korthikanti et al., 2022, section 4.2: tensor parallelism divides what is inside of attention and
// feed-forward layers; with divided rows all of a layer is.
TEST(DividedRows, DivideAllThatALayerKeeps) {
  constexpr double kWidth = 64, kHeads = 4, kStatistics = 2;
  constexpr double kInside = 4 * kWidth + kHeads + 4 * kWidth, kSums = 2 * (kWidth + kStatistics);
  for (const int ranks : {1, 2, 4}) {
    EXPECT_EQ(floats_of_a_layer(ranks, false), kInside / ranks + kSums);
    EXPECT_EQ(floats_of_a_layer(ranks, true), (kInside + kSums) / ranks);
  }
}

}  // namespace
}  // namespace polyphase
