// SPDX-License-Identifier: Apache-2.0
#include "optimizer/treatment.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace polyphase {
namespace {

// Two layers above an embedding, with a head on top.
ParameterSet two_layers(const std::string& prefix = "") {
  ParameterSet parameters;
  parameters.declare({.name = "embedding.token.weight", .global_shape = {6, 4}});
  for (const char* layer : {"0", "1"}) {
    const std::string name = prefix + "layers." + layer + ".in";
    parameters.declare({.name = name + ".weight", .global_shape = {4, 4}});
    parameters.declare({.name = name + ".bias", .global_shape = {4}, .decays = false});
  }
  parameters.declare({.name = "head.output.weight", .global_shape = {2, 4}});
  return parameters;
}

constexpr std::int64_t kNever = Treatment::kNever;

std::vector<std::int64_t> first_steps(const recipe::Phase& phase) {
  std::vector<std::int64_t> steps;
  for (const Treatment& treatment : treatments(two_layers(), phase))
    steps.push_back(treatment.first_step);
  return steps;
}

TEST(Treatment, DepthCountsFromTheHeadDown) {
  EXPECT_EQ(depths(two_layers()), (std::vector<std::int64_t>{3, 2, 2, 1, 1, 0}));
}

TEST(Treatment, EveryStackCountsFromItsOwnTop) {
  ParameterSet parameters = two_layers("encoder.");
  parameters.declare({.name = "encoder.relative_positions.weight", .global_shape = {3, 2}});
  for (const char* layer : {"0", "1", "2"})
    parameters.declare(
        {.name = std::string("decoder.layers.") + layer + ".weight", .global_shape = {4, 4}});
  EXPECT_EQ(depths(parameters), (std::vector<std::int64_t>{4, 2, 2, 1, 1, 0, 4, 3, 2, 1}));
}

TEST(Treatment, LayerDecayFallsWithDepth) {
  recipe::Phase phase;
  phase.optimizer.layer_decay = 0.5;
  const std::vector<Treatment> all = treatments(two_layers(), phase);
  EXPECT_EQ(all[5].learning_rate_scale, 1.0);
  EXPECT_EQ(all[3].learning_rate_scale, 0.5);
  EXPECT_EQ(all[1].learning_rate_scale, 0.25);
  EXPECT_EQ(all[0].learning_rate_scale, 0.125);
}

TEST(Treatment, NothingDecaysThatIsABiasUnlessItsGroupSaysSo) {
  recipe::Phase phase;
  phase.optimizer.weight_decay = 0.1;
  EXPECT_EQ(treatments(two_layers(), phase)[1].weight_decay, 0.1);
  EXPECT_EQ(treatments(two_layers(), phase)[2].weight_decay, 0.0);
  phase.optimizer.groups = {{.name = "biases", .match = {"*.bias"}, .weight_decay = 0.3}};
  EXPECT_EQ(treatments(two_layers(), phase)[2].weight_decay, 0.3);
}

TEST(Treatment, FirstGroupThatMatchesCounts) {
  recipe::Phase phase;
  phase.optimizer.groups = {
      {.name = "low", .match = {"x", "layers.0.*"}, .learning_rate_scale = 3.0},
      {.name = "all", .match = {"*.weight"}, .learning_rate_scale = 2.0, .weight_decay = 0.0}};
  const std::vector<Treatment> all = treatments(two_layers(), phase);
  EXPECT_EQ(all[1].learning_rate_scale, 3.0);
  EXPECT_EQ(all[1].weight_decay, phase.optimizer.weight_decay);
  EXPECT_EQ(all[3].learning_rate_scale, 2.0);
  EXPECT_EQ(all[3].weight_decay, 0.0);
  EXPECT_EQ(all[4].learning_rate_scale, 1.0);
}

TEST(Treatment, FrozenParametersAreNeverTrained) {
  recipe::Phase phase;
  phase.freeze = {"embedding*", "layers.0.*"};
  EXPECT_EQ(first_steps(phase), (std::vector<std::int64_t>{kNever, kNever, kNever, 0, 0, 0}));
}

TEST(Treatment, LayersJoinFromTheTop) {
  recipe::Phase phase;
  phase.unfreeze = {.from_top = 1, .every_steps = 100};
  EXPECT_EQ(first_steps(phase), (std::vector<std::int64_t>{300, 200, 200, 100, 100, 0}));
  phase.unfreeze->from_top = 2;
  EXPECT_EQ(first_steps(phase), (std::vector<std::int64_t>{200, 100, 100, 100, 100, 0}));
}

TEST(Treatment, FrozenStaysFrozenWhenLayersJoin) {
  recipe::Phase phase;
  phase.freeze = {"layers.1.in.bias"};
  phase.unfreeze = {.from_top = 1, .every_steps = 100};
  EXPECT_EQ(first_steps(phase), (std::vector<std::int64_t>{300, 200, 200, 100, kNever, 0}));
}

TEST(TrainedRanges, JoinNeighboursAndLeaveOutFrozen) {
  ParameterSet parameters = two_layers();
  ASSERT_EQ(parameters.trained_ranges().size(), 1U);
  EXPECT_EQ(parameters.trained_ranges()[0].begin, 0);
  EXPECT_EQ(parameters.trained_ranges()[0].end, parameters.total_count());
  parameters.set_trained(0, false);
  parameters.set_trained(3, false);
  const std::vector<StorageRange> ranges = parameters.trained_ranges();
  ASSERT_EQ(ranges.size(), 2U);
  EXPECT_EQ(ranges[0].begin, parameters.at(1).offset);
  EXPECT_EQ(ranges[0].end, parameters.at(3).offset);
  EXPECT_EQ(ranges[1].begin, parameters.at(4).offset);
  EXPECT_EQ(ranges[1].end, parameters.total_count());
}

}  // namespace
}  // namespace polyphase
