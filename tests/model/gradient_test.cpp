// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/gradients.hpp"
#include "model/reference_run.hpp"

namespace polyphase {
namespace {

// Summed loss of the first step's batch with the scales of a mean, as train_step weighs it.
double loss_of(ReferenceRun& run, const Batch& batch, const std::vector<float>& scales) {
  run.model().parameters().begin_micro_batch(0);
  // Soft and smoothed labels are of training alone.
  const std::vector<Tally> tallies = run.model().forward(batch, {}, scales);
  run.model().backward([](std::size_t) {});  // every pass that begins ends so
  double loss = 0;
  for (std::size_t o = 0; o < tallies.size(); ++o)
    loss += static_cast<double>(scales[o]) * tallies[o].nats;
  return loss;
}

// Parameters whose gradient is zero in exact arithmetic, where a difference of losses would compare
// rounding with rounding. Keys' biases move all scores of a query alike, which the softmax does not
// see, unless rotary positions turn them. What moves all rows alike, answers' softmax does not see.
bool loss_does_not_see(const std::string& name, const recipe::Recipe& recipe) {
  if (name.ends_with("key.bias")) return recipe.model.positions != recipe::Positions::kRotary;
  const auto& task = recipe.phases[0].task;
  if (!task || task->kind != recipe::TaskKind::kQuestionAnswering) return false;
  return name == "head.question_answering.bias" || name == "layers.1.feed_forward.norm.shift";
}

class WholeModel : public testing::TestWithParam<std::string> {};

// The derivative along a direction, from two losses, against the gradient's dot product with it:
// one direction for each parameter, so that a parameter whose gradient is missing or wrong is
// named.
TEST_P(WholeModel, GradientIsTheDifferenceOfLosses) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  const nlohmann::json reference = read_case(GetParam());
  const RankGrid grid = solo_grid();
  ReferenceRun run(reference, grid, 1);
  ParameterSet& parameters = run.model().parameters();
  const Batch batch = run.batches(0).micro_batches[0];
  std::vector<float> scales;
  for (const std::int64_t terms : run.model().num_terms(batch))
    scales.push_back(1.0F / static_cast<float>(terms));
  parameters.begin_micro_batch(0);
  run.model().forward(batch, {}, scales);
  run.model().backward([](std::size_t) {});
  const std::vector<float> gradient = test::gradients_by_value(parameters);

  // A step that crosses a kink of ReLU measures a slope between those of its two sides.
  const double share = run.recipe().model.activation == "relu" ? 4e-2 : 5e-3;
  for (const Parameter& parameter : parameters.all()) {
    if (!parameter.trained) continue;
    double norm = 0;
    for (std::int64_t i = 0; i < parameter.count; ++i)
      norm += std::pow(gradient[parameter.offset + i], 2);
    norm = std::sqrt(norm);
    if (loss_does_not_see(parameter.spec.name, run.recipe())) {
      EXPECT_LT(norm, 1e-6) << parameter.spec.name;
      continue;
    }
    ASSERT_GT(norm, 1e-6) << parameter.spec.name;
    const Tensor1<float> value = test::value_of(parameters, parameter);
    const std::vector<float> before = test::read_tensor(value);
    // Along the gradient itself the loss changes by |gradient| a unit length. The step is short
    // enough for the cubic term to vanish beside the tolerance, and float32's rounding of two
    // losses near 5 (some 1e-6) divided by it is its absolute part.
    const double h = std::min(5e-3, 2.5e-3 / norm);
    const auto moved = [&](double sign) {
      std::vector<float> after = before;
      for (std::int64_t i = 0; i < parameter.count; ++i) {
        after[i] = static_cast<float>(before[i] + sign * h * gradient[parameter.offset + i] / norm);
      }
      test::write_tensor(value, after);
      return loss_of(run, batch, scales);
    };
    const double difference = (moved(1.0) - moved(-1.0)) / (2 * h);
    test::write_tensor(value, before);
    EXPECT_NEAR(difference, norm, share * norm + 2e-4) << parameter.spec.name;
  }
}

// Gradients of what is not trained yet are not written: below the lowest trained layer none, above
// it none of weights.
TEST(FrozenParameters, CostNoGradient) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  const RankGrid grid = solo_grid();
  const nlohmann::json unfreezing = read_case("optimizer_unfreeze");
  ReferenceRun run(unfreezing, grid, 2);  // two sets, which lie in memory of their own
  const ParameterSet& parameters = run.model().parameters();
  constexpr float kMark = 1234.5F;
  const auto step = [&](std::int64_t number) {
    for (std::size_t set = 0; set < parameters.num_gradients(); ++set)
      fill(Exec{}, parameters.gradients(set), kMark);
    run.step(number);
  };
  const auto is_untouched = [&](const std::string& name) {
    const Parameter& parameter = *parameters.find(name);
    for (std::size_t set = 0; set < parameters.num_gradients(); ++set) {
      const auto gradient = test::read_tensor(test::gradient_of(parameters, parameter, set));
      if (!std::ranges::all_of(gradient, [](float g) { return g == kMark; })) return false;
    }
    return true;
  };
  step(0);  // what lies above the layers
  for (const char* name : {"embedding.token.weight", "layers.0.attention.query.bias",
                           "layers.1.attention.norm.gain", "layers.1.feed_forward.in.weight"})
    EXPECT_TRUE(is_untouched(name)) << name;
  EXPECT_FALSE(is_untouched("final.norm.gain"));
  step(5);  // and the top layer
  EXPECT_TRUE(is_untouched("layers.0.feed_forward.in.weight"));
  EXPECT_FALSE(is_untouched("layers.1.attention.query.weight"));
  const nlohmann::json adapted = read_case("lora_classification");
  ReferenceRun with(adapted, grid, 1);
  with.step(0);
  EXPECT_EQ(with.model().parameters().find("layers.0.attention.query.weight")->gradient_offset, -1);
}

// Passes that write to norms and biases which no counted pass has written.
TEST(FrozenParameters, MayLieWhereAPassEndsEarly) {
  if (test_world->size() > 1) GTEST_SKIP() << kOneRankShowsIt;
  struct Case {
    const char* name;
    std::vector<std::string> freeze;
    double layer_drop;
  };
  const std::vector<Case> cases = {
      {"bert_postnorm_pretraining", {"embedding*", "layers.0.*"}, 0.5},
      {"bert_prenorm_pretraining", {"embedding*", "layers.0.*"}, 0.5},
      {"family_llama_clm", {"layers.*.attention.*.weight"}, 0.5},
      {"family_t5_1_1_span", {"embedding*", "layers.*", "final*", "decoder.layers.0.*"}, 0.0},
      {"family_t5_1_1_span", {"embedding*", "layers.*", "*layers.*", "*final*", "*relative*"}, 0.0},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.name);
    nlohmann::json reference = read_case(each.name);
    reference["phase"]["freeze"] = each.freeze;
    if (each.layer_drop > 0) reference["phase"]["layer_drop"] = each.layer_drop;
    const RankGrid grid = solo_grid();
    ReferenceRun run(reference, grid, 1, recipe::Precision::kF32, 0.1);
    for (std::int64_t step = 0; step < 8; ++step)
      EXPECT_TRUE(std::isfinite(run.step(step).grad_norm)) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, WholeModel, testing::ValuesIn(all_cases()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace polyphase
