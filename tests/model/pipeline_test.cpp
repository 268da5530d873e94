// SPDX-License-Identifier: Apache-2.0
// Stages of layers: the same bits as one rank that has all of them.
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "kernels/elementwise.hpp"
#include "model/gradients.hpp"
#include "model/reference_run.hpp"
#include "train/plan_memory.hpp"

namespace polyphase {
namespace {

struct StagesTrace {
  std::vector<double> losses, norms, average_losses;
  std::map<std::string, std::vector<float>> values;  // of what this rank has
};

struct StagesCase {
  recipe::Precision precision = recipe::Precision::kF32;
  recipe::Shard shard = recipe::Shard::kNone;
  std::int64_t num_micro_batches = 4;
};

StagesTrace train_stages(const nlohmann::json& reference, const RankGrid& grid,
                         const StagesCase& how) {
  constexpr std::int64_t kSteps = 3;
  ReferenceRun run(reference, grid, how.num_micro_batches, how.precision, 0.1, how.shard);
  StagesTrace trace;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    const StepRecord record = run.step(step);
    trace.losses.push_back(record.loss);
    trace.norms.push_back(record.grad_norm);
    if (run.average() != nullptr) trace.average_losses.push_back(run.average_loss(step));
  }
  const ParameterSet& parameters = run.model().parameters();
  for (const Parameter& parameter : parameters.all()) {
    if (parameter.is_here())
      trace.values[parameter.spec.name] = test::read_tensor(test::value_of(parameters, parameter));
  }
  return trace;
}

void expect_bits_of_one_stage(const nlohmann::json& reference, const RankGrid& stages,
                              const RankGrid& whole, const StagesCase& how,
                              const std::string& name) {
  const StagesTrace mine = train_stages(reference, stages, how),
                    all = train_stages(reference, whole, how);
  EXPECT_EQ(mine.losses, all.losses) << name;
  EXPECT_EQ(mine.norms, all.norms) << name;
  EXPECT_EQ(mine.average_losses, all.average_losses) << name;
  for (const auto& [parameter, values] : mine.values)
    EXPECT_TRUE(values == all.values.at(parameter)) << name << ": " << parameter;
  std::int64_t num_parameters = std::ssize(mine.values);
  stages.pipeline.sum(&num_parameters, 1);
  EXPECT_GE(num_parameters, std::ssize(all.values)) << name;  // some are on two stages
  if (stages.pipeline.size() > 1) {
    EXPECT_LT(mine.values.size(), all.values.size()) << name;
  }
}

// The case with more layers than its two: copies of those, in turn. Of one stack, or of encoder and
// decoder.
nlohmann::json with_layers(nlohmann::json reference, int num_layers, int num_decoder_layers = 0) {
  nlohmann::json listed = nlohmann::json::array();
  for (const nlohmann::json& parameter : reference.at("parameters")) {
    const std::string text = parameter.at("name");
    const std::size_t at = text.find("layers.");
    if (at == std::string::npos) {
      listed.push_back(parameter);
      continue;
    }
    const std::size_t number = at + std::string("layers.").size();
    for (int layer = text[number] - '0';
         layer < (text.starts_with("decoder.") ? num_decoder_layers : num_layers); layer += 2) {
      nlohmann::json copy = parameter;
      copy["name"] = text.substr(0, number) + std::to_string(layer) + text.substr(number + 1);
      listed.push_back(copy);
    }
  }
  reference["parameters"] = listed;
  reference["model"]["num_layers"] = num_layers;
  if (num_decoder_layers > 0) reference["model"]["num_decoder_layers"] = num_decoder_layers;
  return reference;
}

// The case, if two stages can train it: each has a layer of a teacher's, too.
std::optional<nlohmann::json> case_of_stages(const std::string& name) {
  nlohmann::json reference = read_case(name);
  if (reference.contains("teacher") && reference["teacher"]["model"].value("num_layers", 2) < 2)
    return std::nullopt;
  return reference;
}

// Every family, head, adaptation and optimizer, with dropout.
TEST(Pipeline, OfTwoStagesGivesTheBitsOfOneRank) {
  if (test_world->size() != 2) GTEST_SKIP() << "needs two ranks";
  const RankGrid stages = make_grid(*test_world, 1, 2), whole = solo_grid();
  for (const std::string& name : all_cases()) {
    const auto reference = case_of_stages(name);
    if (!reference) continue;
    expect_bits_of_one_stage(*reference, stages, whole, {}, name);
    expect_bits_of_one_stage(*reference, stages, whole,
                             {.precision = recipe::Precision::kBf16, .num_micro_batches = 1},
                             name + " in bf16");
  }
}

bool is_family(const std::string& name) { return name.starts_with("family_"); }

const char* const kStagesCases[] = {"bert_postnorm_pretraining", "family_gpt2_clm",
                                    "family_t5_1_0_span",        "family_relative_mlm",
                                    "optimizer_average",         "optimizer_unfreeze"};

// A classifier of so many layers that learns from the hidden states and attention of the four of a
// teacher.
nlohmann::json taught_classifier(int num_layers, const char* layers = "all") {
  nlohmann::json reference = with_layers(read_case("distil_layers_classification"), num_layers);
  reference["phase"]["distil"]["layers"] = layers;
  return reference;
}

// An encoder of two layers and a decoder of three learn from three and five.
nlohmann::json taught_pair(const char* layers = "all") {
  nlohmann::json reference = read_case("distil_layers_generation");
  reference["phase"]["distil"]["layers"] = layers;
  return reference;
}

nlohmann::json with_chunks(nlohmann::json reference, int interleave) {
  reference["interleave"] = interleave;
  return reference;
}

// Beside data-parallel ranks, whatever these divide, and with layers that are run again.
TEST(Pipeline, BesideDataParallelRanksGivesTheBitsOfOneRank) {
  if (test_world->size() != 4) GTEST_SKIP() << "needs four ranks";
  const RankGrid stages = make_grid(*test_world, 1, 2), whole = solo_grid();
  for (const char* name : kStagesCases) {
    for (const auto& [shard, mode] : {std::pair{recipe::Shard::kNone, "full"},
                                      std::pair{recipe::Shard::kOptimizer, "selective"},
                                      std::pair{recipe::Shard::kGradients, "none"}}) {
      nlohmann::json reference = read_case(name);
      reference["recompute"] = mode;
      if (is_family(name)) reference["optimizer"]["state_precision"] = "bf16";
      expect_bits_of_one_stage(reference, stages, whole, {.shard = shard},
                               fmt::format("{}, recompute {}", name, mode));
    }
  }
  expect_bits_of_one_stage(taught_pair(), stages, whole, {}, "a teacher's layers");
}

// A teacher is cut where its student is, of which a stage may have more than another; and a student
// that passes over layers learns from the teacher's output all the same.
TEST(Pipeline, OfLayersThatLearnFromATeachersGivesTheBitsOfOneRank) {
  if (test_world->size() != 2) GTEST_SKIP() << "needs two ranks";
  const RankGrid stages = make_grid(*test_world, 1, 2), whole = solo_grid();
  for (const char* mode : {"none", "full"}) {
    nlohmann::json uneven = taught_classifier(3);
    uneven["recompute"] = mode;
    expect_bits_of_one_stage(uneven, stages, whole, {}, fmt::format("uneven, {}", mode));
  }
  expect_bits_of_one_stage(taught_pair("last"), stages, whole, {}, "last layers of two stacks");
  for (const char* layers : {"last", "all"}) {
    for (const auto& [reference, name] : {std::pair{taught_classifier(4, layers), "one stack"},
                                          std::pair{taught_pair(layers), "two stacks"}}) {
      expect_bits_of_one_stage(with_chunks(reference, 2), stages, whole, {},
                               fmt::format("{}, {}", name, layers));
      expect_bits_of_one_stage(with_chunks(reference, 2), stages, whole,
                               {.precision = recipe::Precision::kBf16, .num_micro_batches = 2},
                               fmt::format("{} in bf16, {}", name, layers));
    }
  }
  nlohmann::json dropping = with_layers(read_case("distil_attention_prefix_lm"), 4);
  dropping["phase"]["distil"]["attention"] = 0;
  dropping["phase"]["distil"]["hidden"] = 1;
  dropping["phase"]["layer_drop"] = 0.3;
  expect_bits_of_one_stage(dropping, stages, whole, {}, "layers passed over");
}

// Two tensor-parallel ranks have other bits than one; stages of them have theirs.
TEST(Pipeline, OfTensorParallelRanksGivesTheBitsOfThese) {
  if (test_world->size() != 4) GTEST_SKIP() << "needs four ranks";
  const RankGrid stages = make_grid(*test_world, 2, 2), whole = make_grid(*test_world, 2);
  for (const char* name : kStagesCases) {
    for (const bool divides_rows : {false, true}) {
      nlohmann::json reference = read_case(name);
      reference["sequence"] = divides_rows;
      expect_bits_of_one_stage(reference, stages, whole, {}, name);
    }
  }
  for (const bool divides_rows : {false, true}) {
    nlohmann::json taught = taught_pair();
    taught["sequence"] = divides_rows;
    expect_bits_of_one_stage(taught, stages, whole, {}, "a teacher's layers");
  }
}

// Of four layers, and of an encoder and a decoder of two, each on a stage of its own; of which some
// steps pass over some.
TEST(Pipeline, OfFourStagesGivesTheBitsOfOneRank) {
  if (test_world->size() != 4) GTEST_SKIP() << "needs four ranks";
  const RankGrid stages = make_grid(*test_world, 1, 4), whole = solo_grid();
  for (const char* name : {"bert_prenorm_pretraining", "family_t5_1_0_span"}) {
    nlohmann::json reference = read_case(name);
    if (reference.at("model").at("family") == "bert") {
      reference = with_layers(reference, 4);
    }
    reference["phase"]["layer_drop"] = 0.3;
    reference["phase"]["r_drop"] = 0.5;
    expect_bits_of_one_stage(reference, stages, whole, {}, name);
  }
  expect_bits_of_one_stage(taught_classifier(4), stages, whole, {}, "a teacher's layers");
  expect_bits_of_one_stage(taught_pair(), stages, whole, {}, "a teacher's layers of two stacks");
}

// A case with `layers` in all, in chunks of so many that stages have in turn.
nlohmann::json interleaved(const std::string& name, int layers, int interleave) {
  const nlohmann::json reference = read_case(name);
  const bool pair = reference.at("model").at("family") == "t5";
  return with_chunks(pair ? with_layers(reference, layers / 3, layers - layers / 3)
                          : with_layers(reference, layers),
                     interleave);
}

// Every second case has chunks of different sizes, and of T5 a chunk has the encoder's end and the
// decoder's beginning: of 6 layers in 4 chunks, 1, 2, 1 and 2. A teacher has a chunk of its own
// layers beside each.
TEST(Pipeline, OfInterleavedStagesGivesTheBitsOfOneRank) {
  if (test_world->size() != 2) GTEST_SKIP() << "needs two ranks";
  const RankGrid stages = make_grid(*test_world, 1, 2), whole = solo_grid();
  for (const char* name : kStagesCases) {
    expect_bits_of_one_stage(interleaved(name, 6, 2), stages, whole, {}, name);
    expect_bits_of_one_stage(interleaved(name, 6, 3), stages, whole,
                             {.precision = recipe::Precision::kBf16, .num_micro_batches = 2},
                             fmt::format("{} in bf16", name));
  }
  expect_bits_of_one_stage(interleaved("distil_tagging", 6, 2), stages, whole, {}, "a teacher");
}

// Of four stages the middle ones have a part of each of T5's stacks, or of none of its ends.
TEST(Pipeline, OfInterleavedStagesBesideOthersGivesTheBitsOfTheseAlone) {
  if (test_world->size() != 4) GTEST_SKIP() << "needs four ranks";
  const RankGrid whole = solo_grid(), data = make_grid(*test_world, 1, 2),
                 tensor = make_grid(*test_world, 2, 2), of_tensor = make_grid(*test_world, 2),
                 four = make_grid(*test_world, 1, 4);
  for (const char* name : {"family_gpt2_clm", "family_t5_1_0_span"}) {
    nlohmann::json reference = interleaved(name, 6, 2);
    for (const recipe::Shard shard :
         {recipe::Shard::kNone, recipe::Shard::kOptimizer, recipe::Shard::kGradients}) {
      reference["recompute"] = shard == recipe::Shard::kNone ? "full" : "none";
      expect_bits_of_one_stage(reference, data, whole, {.shard = shard}, name);
    }
    reference["sequence"] = true;
    expect_bits_of_one_stage(reference, tensor, of_tensor, {}, name);
    reference = interleaved(name, 9, 2);
    reference["phase"]["layer_drop"] = 0.3;
    expect_bits_of_one_stage(reference, four, whole, {}, name);
    expect_bits_of_one_stage(interleaved(name, 6, 1), four, whole, {}, name);
  }
}

TEST(Pipeline, TablesAreUsedByTheChunksThatEmbedAndThatPutOut) {
  if (test_world->size() != 2) GTEST_SKIP() << "needs two ranks";
  const RankGrid stages = make_grid(*test_world, 1, 2);
  const auto chunks_of = [&](const nlohmann::json& reference, const char* name) {
    ReferenceRun run(reference, stages, 2);
    return run.model().parameters().find(name)->chunks;
  };
  using Chunks = std::vector<int>;
  EXPECT_EQ(chunks_of(interleaved("family_gpt2_clm", 6, 2), "embedding.token.weight"),
            (Chunks{0, 3}));
  // Encoder and decoder are 2 and 4 layers of 1, 2, 1 and 2.
  const nlohmann::json pair = interleaved("family_t5_1_0_span", 6, 2);
  EXPECT_EQ(chunks_of(pair, "embedding.token.weight"), (Chunks{0, 1, 3}));
  EXPECT_EQ(chunks_of(pair, "relative_positions.weight"), (Chunks{0, 1}));
  EXPECT_EQ(chunks_of(pair, "decoder.relative_positions.weight"), (Chunks{1, 2, 3}));
}

TEST(Pipeline, AllStagesHearAlikeThatTrainingHasDiverged) {
  if (test_world->size() != 2) GTEST_SKIP() << "needs two ranks";
  const RankGrid stages = make_grid(*test_world, 1, 2);
  const nlohmann::json reference = interleaved("family_gpt2_clm", 4, 2);
  ReferenceRun run(reference, stages, 2);
  // A value that the first stage alone has.
  if (stages.pipeline.rank() == 0) {
    const ParameterSet& parameters = run.model().parameters();
    const Parameter& table = *parameters.find("embedding.position.weight");
    fill(Exec(), Tensor1<float>(parameters.values().data() + table.offset, table.count),
         std::numeric_limits<float>::quiet_NaN());
  }
  EXPECT_THROW(run.step(0), DivergedError);
}

std::int64_t bytes_of(PhaseModel* teacher) {
  if (teacher == nullptr) return 0;
  return teacher->parameters().total_count() * std::int64_t{sizeof(float)} +
         static_cast<std::int64_t>(teacher->arena_capacity_bytes() + teacher->held_link_bytes());
}

TEST(Pipeline, PlanIsWhatTheStageWithTheMostHas) {
  if (test_world->size() == 1) GTEST_SKIP() << kNeedsSeveralRanks;
  const RankGrid grid = make_grid(*test_world, 1, 2);
  for (const auto& [name, interleave] : {std::pair{"bert_postnorm_pretraining", 1},
                                         {"family_gpt2_clm", 2},
                                         {"family_t5_1_0_span", 1},
                                         {"family_t5_1_0_span", 3},
                                         {"family_relative_mlm", 2},
                                         {"distil_clm", 1},
                                         {"distil_mlm_sop", 1},
                                         {"distil_attention_prefix_lm", 1},
                                         {"distil_layers_classification", 1},
                                         {"distil_layers_generation", 1},
                                         {"optimizer_average", 1}}) {
    for (const recipe::Shard shard :
         {recipe::Shard::kNone, recipe::Shard::kOptimizer, recipe::Shard::kGradients}) {
      nlohmann::json reference =
          interleave == 1 ? read_case(name) : interleaved(name, 6, interleave);
      if (is_family(name)) reference["optimizer"]["state_precision"] = "bf16";
      ReferenceRun run(reference, grid, 4, recipe::Precision::kF32, 0.0, shard);
      run.step(0);  // takes the links' memory
      recipe::Recipe recipe = run.recipe();
      recipe.tokenizer.vocab_size = reference.at("vocabulary");
      recipe::Phase& phase = recipe.phases.back();
      phase.batch.sequences = 4 * phase.batch.micro_batch;
      const ParameterSet& own = run.model().parameters();
      std::int64_t floats = own.count_passed_on() + own.total_count();
      if (own.num_gradients() > 1)
        floats += static_cast<std::int64_t>(own.num_gradients() * own.gradients(0).size());
      const auto count = [&](const std::vector<StateTensor>& tensors) {
        const auto aligned = [](std::size_t count) {
          return (static_cast<std::int64_t>(count) + 15) / 16 * 16;
        };
        for (const StateTensor& tensor : tensors)
          floats += aligned(tensor.values.size()) + aligned(tensor.rounded.size()) / 2;
      };
      count(run.optimizer().state());
      if (run.average() != nullptr) count(run.average()->tensors());
      std::int64_t bytes = static_cast<std::int64_t>(run.model().arena_capacity_bytes()) +
                           static_cast<std::int64_t>(run.model().held_link_bytes()) +
                           bytes_of(run.teacher()) + floats * std::int64_t{sizeof(float)};
      test_world->max(&bytes, 1);
      const PlannedMemory plan = plan_memory(recipe, phase, grid.data.size());
      const std::int64_t planned = plan.total_bytes();
      EXPECT_GE(plan.shared_bytes, 0) << name;
      // Of state and of gradients a plan takes the most of any data rank's, which may be two ranks.
      EXPECT_GE(planned, bytes) << name;
      EXPECT_LE(static_cast<double>(planned), 1.05 * static_cast<double>(bytes)) << name;
      if (shard == recipe::Shard::kNone) {
        EXPECT_EQ(planned, bytes) << name;
      }
    }
  }
}

}  // namespace
}  // namespace polyphase
