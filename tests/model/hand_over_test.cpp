// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "model/gradients.hpp"
#include "model/layer_name.hpp"
#include "model/reference_run.hpp"
#include "recipe/load.hpp"
#include "train/checkpoint_writer.hpp"
#include "train/checkpointing.hpp"

namespace polyphase {
namespace {

using recipe::Growth;

// A model of a reference case with other keys in its phase, its optimizer, and one micro-batch.
struct Trainee {
  Trainee(const nlohmann::json& reference, const nlohmann::json& keys, const RankGrid& ranks,
          std::uint64_t seed)
      : grid(ranks), batch(ReferenceRun(reference, ranks, ranks.data.size()).batches(0)) {
    nlohmann::json phase = reference.at("phase");
    phase.update(keys);
    phase.update({{"name", "test"},
                  {"data", {{"data", 1.0}}},
                  {"batch", {{"sequences", 4}, {"micro_batch", 4}}},
                  {"stop", {{"steps", 20}}}});
    const nlohmann::json text = {
        {"name", "test"},
        {"corpora",
         {{"data",
           {{"kind", phase.contains("task") ? phase["task"]["kind"] : nlohmann::json("text")},
            {"train", {"source", "target"}}}}}},
        {"model", reference.at("model")},
        {"phases", {phase}}};
    recipe = recipe::parse(text.dump(), "test");
    const PhaseData data = {.vocab_size = reference.at("vocabulary"),
                            .label_names = reference.at("labels")};
    model = make_phase_model(recipe, recipe.phases[0], data, grid.tensor);
    model->parameters().allocate();
    model->parameters().initialise(seed, 0.3);
    optimizer = std::make_unique<Optimizer>(model->parameters(), recipe.phases[0], grid.tensor);
    optimizer->allocate();
  }

  const Batch& micro_batch() const { return batch.micro_batches[0]; }
  double nats() {
    model->allocate_arena(model->plan_arena_bytes(micro_batch(), false));
    return model->evaluate(micro_batch())[0].nats;
  }
  std::vector<float> values_of(const std::string& name) const {
    const Parameter* parameter = model->parameters().find(name);
    POLYPHASE_PROMISE(parameter != nullptr, "no parameter {}", name);
    return test::read_tensor(test::value_of(model->parameters(), *parameter));
  }

  const RankGrid& grid;
  StepBatches batch;
  recipe::Recipe recipe;
  std::unique_ptr<PhaseModel> model;
  std::unique_ptr<Optimizer> optimizer;
};

// Whole models on each rank: a folder of checkpoints that all ranks write together.
class HandOverTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              testing::UnitTest::GetInstance()->current_test_info()->name() /
              std::to_string(test_world->size());
  }
  void TearDown() override {
    std::int64_t done = 1;
    test_world->sum(&done, 1);  // no rank reads any more
    if (test_world->rank() == 0) std::filesystem::remove_all(folder_);
  }

  std::filesystem::path save(const Trainee& from) {
    CheckpointWriter writer(folder_, 1, *test_world, from.grid);
    writer.begin(1, {{"some", "state"}}, from.model->parameters(), *from.optimizer, nullptr, {});
    writer.finish();
    return folder_ / "step-000001";
  }

  void expect_layers(const nlohmann::json& reference, Growth growth, std::int64_t k,
                     std::int64_t n) {
    const RankGrid grid = make_grid(*test_world, test_world->size());
    const Trainee before(reference, {{"num_layers", k}}, grid, 5);
    Trainee after(reference, {{"num_layers", n}}, grid, 6);
    const HandOver result = take_over(save(before), after.model->parameters(), {.growth = growth});
    EXPECT_TRUE(result.fresh.empty());
    for (const Parameter& parameter : after.model->parameters().all()) {
      const std::string& name = parameter.spec.name;
      std::string source = name;
      if (std::optional<LayerName> layer = layer_name(name)) {
        layer->number = growth == Growth::kStack ? layer->number % k : layer->number * k / n;
        source = layer->text();
      }
      EXPECT_EQ(after.values_of(name), before.values_of(source)) << name;
    }
  }

  std::filesystem::path folder_;
};

TEST_F(HandOverTest, StackRepeatsTheWholeStack) {
  expect_layers(read_case("family_gpt2_clm"), Growth::kStack, 2, 5);
  expect_layers(read_case("family_t5_1_0_span"), Growth::kStack, 1, 3);
}

TEST_F(HandOverTest, InterposeRepeatsEveryLayer) {
  expect_layers(read_case("family_bert_classification"), Growth::kInterpose, 2, 4);
  expect_layers(read_case("family_llama_clm"), Growth::kInterpose, 3, 7);
}

TEST_F(HandOverTest, SkipTakesEvenlySpacedLayers) {
  expect_layers(read_case("family_bert_classification"), Growth::kSkip, 4, 2);
  expect_layers(read_case("family_t5_1_0_span"), Growth::kSkip, 5, 2);
}

TEST_F(HandOverTest, IdentityComputesTheSameToTheLastBit) {
  for (const char* name :
       {"family_gpt2_clm", "family_llama_clm", "family_t5_1_0_span", "bert_prenorm_tagging"}) {
    const nlohmann::json reference = read_case(name);
    const RankGrid grid = make_grid(*test_world, test_world->size());
    Trainee before(reference, {{"num_layers", 2}}, grid, 5);
    Trainee after(reference, {{"num_layers", 5}}, grid, 6);
    const double fresh = after.nats();
    const HandOver result =
        take_over(save(before), after.model->parameters(), {.growth = Growth::kIdentity});
    EXPECT_EQ(after.nats(), before.nats()) << name;
    EXPECT_NE(after.nats(), fresh) << name;
    EXPECT_FALSE(result.zeroed.empty());
    // What does not write to the stream is a copy, so that it can learn at once.
    EXPECT_EQ(after.values_of("layers.3.attention.query.weight"),
              before.values_of("layers.1.attention.query.weight"));
  }
}

TEST_F(HandOverTest, OptimizerStateFollowsTheLayers) {
  const RankGrid grid = make_grid(*test_world, test_world->size());
  const nlohmann::json reference = read_case("family_gpt2_clm");
  const Trainee before(reference, {{"num_layers", 2}}, grid, 5);
  Trainee after(reference, {{"num_layers", 3}}, grid, 6);
  float number = 1;
  for (const StateTensor& tensor : before.optimizer->state()) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < tensor.count; ++i)
      values.push_back(number + static_cast<float>(i) / 1024.0F);
    test::write_tensor(tensor.values, values);
    ++number;
  }
  const std::filesystem::path checkpoint = save(before);
  const HandOverRules rules = {.growth = Growth::kIdentity};
  const HandOver result = take_over(checkpoint, after.model->parameters(), rules);
  const auto kept = take_over_state(checkpoint, after.model->parameters(), *after.optimizer, rules);
  EXPECT_EQ(kept.at("layers.2.attention.key.bias"), "layers.0.attention.key.bias");
  EXPECT_EQ(kept.size(), result.carried.size() + result.copied.size());
  for (const std::string& name : result.zeroed) EXPECT_FALSE(kept.contains(name)) << name;
  for (const StateTensor& mine : after.optimizer->state()) {
    const std::size_t slash = mine.name.find('/');
    const auto source = kept.find(mine.name.substr(slash + 1));
    for (const StateTensor& theirs : before.optimizer->state()) {
      if (source == kept.end() || theirs.name != mine.name.substr(0, slash + 1) + source->second)
        continue;
      ASSERT_EQ(test::read_tensor(mine.values), test::read_tensor(theirs.values)) << mine.name;
    }
    if (source != kept.end()) continue;
    for (const float value : test::read_tensor(mine.values)) ASSERT_EQ(value, 0.0F) << mine.name;
  }
}

// The element of the whole tensor that a rank's element i is.
std::int64_t element_of_whole(const StateTensor& tensor, std::int64_t i) {
  const auto rest = [](const std::vector<std::int64_t>& shape, std::size_t from) {
    std::int64_t count = 1;
    for (std::size_t d = from; d < shape.size(); ++d) count *= shape[d];
    return count;
  };
  if (tensor.split_dimension < 0) return i;
  const auto split = static_cast<std::size_t>(tensor.split_dimension);
  const std::int64_t inner = rest(tensor.local_shape, split), row = i / inner, place = i % inner;
  return row * rest(tensor.global_shape, split) +
         tensor.begin * rest(tensor.global_shape, split + 1) + place;
}

// Squares that AdamW keeps, as Adafactor's means over whole rows and columns, and the mean of
// gradients as SGD's sum, of whatever part of a tensor a rank has.
TEST_F(HandOverTest, StateOfAnotherKindIsMadeOfWholeTensors) {
  const RankGrid grid = make_grid(*test_world, test_world->size());
  const nlohmann::json reference = read_case("family_gpt2_clm");
  const Trainee before(reference, {{"num_layers", 2}}, grid, 5);
  const auto held = [](const std::string& name, std::int64_t i) {
    const double x = static_cast<double>(i) / 64.0;
    return static_cast<float>(name.starts_with("moment1") ? x - 3.0 : x + 1.0);
  };
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const StateTensor& tensor : before.optimizer->state()) {
    shapes[before.model->parameters().at(tensor.parameter).spec.name] = tensor.global_shape;
    std::vector<float> values;
    for (std::int64_t i = 0; i < tensor.count; ++i)
      values.push_back(held(tensor.name, element_of_whole(tensor, i)));
    test::write_tensor(tensor.values, values);
  }
  const std::filesystem::path checkpoint = save(before);
  const UpdateCounts counts = {.gradients = 40, .squares = 30};
  const recipe::Optimizer& adamw = before.recipe.phases[0].optimizer;
  for (const char* kind : {"adafactor", "sgd"}) {
    Trainee after(reference, {{"num_layers", 3}, {"optimizer", {{"kind", kind}}}}, grid, 6);
    const recipe::Optimizer& now = after.recipe.phases[0].optimizer;
    take_over_state(checkpoint, after.model->parameters(), *after.optimizer,
                    {.growth = Growth::kIdentity}, [&](const StoredState& stored) {
                      return convert_state(adamw, stored.tensors, counts, now, stored.wanted,
                                           stored.parameter.spec.global_shape)
                          .tensors;
                    });
    for (const StateTensor& tensor : after.optimizer->state()) {
      const std::string& name = after.model->parameters().at(tensor.parameter).spec.name;
      const std::string source =
          name.starts_with("layers.2.") ? "layers.0." + name.substr(9) : name;
      const bool anew = name.starts_with("layers.2.") && layer_name(name)->writes_to_residual();
      const std::vector<std::int64_t>& shape = shapes.at(source);
      const std::int64_t columns = shape.back(), rows = shape.size() == 2 ? shape[0] : 1;
      const std::vector<float> values = test::read_tensor(tensor.values);
      for (std::int64_t i = 0; i < tensor.count; ++i) {
        const std::int64_t whole = element_of_whole(tensor, i);
        double expected = 0;
        if (tensor.name.starts_with("velocity")) {
          expected = held("moment1", whole) * (1 - std::pow(now.momentum, 40)) /
                     (1 - now.momentum) / (1 - std::pow(adamw.beta1, 40));
        } else if (tensor.name.starts_with("row_square")) {
          for (std::int64_t c = 0; c < columns; ++c)
            expected += held("moment2", whole * columns + c) / static_cast<double>(columns);
        } else if (tensor.name.starts_with("column_square")) {
          for (std::int64_t r = 0; r < rows; ++r)
            expected += held("moment2", r * columns + whole) / static_cast<double>(rows);
        } else {
          expected = held("moment2", whole);
        }
        if (!tensor.name.starts_with("velocity")) expected /= 1 - std::pow(adamw.beta2, 30);
        if (anew) expected = 0;
        ASSERT_NEAR(values[i], expected, 1e-5 * std::abs(expected)) << tensor.name << i;
      }
    }
  }
}

// A product with a sum of weights against the sum of two products, in float32.
TEST_F(HandOverTest, MergedAdditionsComputeTheSame) {
  for (const char* name : {"lora_clm", "lora_generation"}) {
    const nlohmann::json reference = read_case(name);
    const RankGrid grid = make_grid(*test_world, test_world->size());
    Trainee before(reference, nlohmann::json::object(), grid, 5);
    const nlohmann::json& lora = reference.at("phase").at("lora");
    const double scale = lora.at("alpha").get<double>() / lora.at("rank").get<double>();
    const double plain = before.nats();  // the additions begin at zero
    for (const Parameter& parameter : before.model->parameters().all()) {
      if (!parameter.spec.name.ends_with(".lora_b")) continue;
      std::vector<float> addition;
      for (std::int64_t i = 0; i < parameter.count; ++i)
        addition.push_back(0.01F * static_cast<float>(i % 7 - 3));
      test::write_tensor(test::value_of(before.model->parameters(), parameter), addition);
    }
    const double added = before.nats();
    const nlohmann::json base =
        read_case(name == std::string("lora_clm") ? "family_gpt2_clm" : "family_t5_1_1_generation");
    Trainee after(base, nlohmann::json::object(), grid, 6);
    const HandOver result =
        take_over(save(before), after.model->parameters(), {.adapter_scale = scale});
    EXPECT_TRUE(result.fresh.empty() && result.left.empty());
    EXPECT_FALSE(result.merged.empty());
    after.batch = before.batch;
    EXPECT_NEAR(after.nats(), added, 1e-5 * added) << name;
    EXPECT_GT(std::abs(added - plain), 1e-3 * plain) << name;
  }
}

TEST_F(HandOverTest, AdditionsBeginWithWhatWasThere) {
  const RankGrid grid = make_grid(*test_world, test_world->size());
  const nlohmann::json reference = read_case("lora_clm");
  Trainee before(read_case("family_gpt2_clm"), nlohmann::json::object(), grid, 5);
  Trainee after(reference, nlohmann::json::object(), grid, 6);
  const HandOver result = take_over(save(before), after.model->parameters());
  for (const std::string& name : result.fresh) EXPECT_TRUE(is_adapter(name)) << name;
  after.batch = before.batch;
  EXPECT_NEAR(after.nats(), before.nats(), 1e-6 * before.nats());
  std::int64_t adapted = 0, state = 0;
  for (const Parameter& parameter : after.model->parameters().all())
    if (is_adapter(parameter.spec.name)) adapted += parameter.count;
  for (const StateTensor& tensor : after.optimizer->state()) state += tensor.count;
  EXPECT_EQ(state, 2 * adapted);  // AdamW's two moments of what is trained, and of nothing else
}

}  // namespace
}  // namespace polyphase
