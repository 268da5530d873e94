// SPDX-License-Identifier: Apache-2.0
#include "optimizer/shards.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "comm/session.hpp"
#include "kernels/device.hpp"
#include "model/gradients.hpp"
#include "optimizer/gradient_norm.hpp"
#include "optimizer/optimizer.hpp"
#include "optimizer/test_world.hpp"
#include "recipe/optimizers.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kVocabulary = 150;  // a table larger than all layers together

recipe::Recipe recipe_of(const std::string& kind) {
  recipe::Recipe recipe;
  recipe.parallel.shard = recipe::Shard::kOptimizer;
  recipe.phases.resize(1);
  recipe.phases[0].optimizer = recipe::optimizer_defaults(kind);
  recipe.phases[0].optimizer.weight_decay = 0.1;
  return recipe;
}

// What tensor-parallel ranks split by rows and by columns, and what they all have.
ParameterSet declare(const Communicator& tensor, std::int64_t vocabulary) {
  const auto part = [&tensor](std::int64_t whole) {
    return split_evenly(whole, tensor.rank(), tensor.size());
  };
  ParameterSet parameters;
  parameters.declare({.name = "embedding.token.weight",
                      .global_shape = {vocabulary, 8},
                      .split_dimension = 0,
                      .split = part(vocabulary)});
  parameters.declare({.name = "embedding.norm.gain", .global_shape = {8}, .decays = false});
  for (const std::string layer : {"layers.0.", "layers.1.", "layers.2."}) {
    parameters.declare({.name = layer + "in.weight",
                        .global_shape = {12, 8},
                        .split_dimension = 0,
                        .split = part(12)});
    parameters.declare({.name = layer + "in.bias",
                        .global_shape = {12},
                        .split_dimension = 0,
                        .split = part(12),
                        .decays = false});
    parameters.declare({.name = layer + "out.weight",
                        .global_shape = {8, 12},
                        .split_dimension = 1,
                        .split = part(12)});
    parameters.declare({.name = layer + "norm.gain", .global_shape = {8}, .decays = false});
  }
  return parameters;
}

std::vector<float> sines(std::int64_t count, double shift) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(static_cast<float>(std::sin(shift + 0.7 * static_cast<double>(i * i))));
  return values;
}

struct Trained {
  std::vector<float> values;
  std::vector<double> norms;
};

// Ten steps on gradients that are the same on all data ranks. Divided, a rank is given what a
// reducer gives it: gradients of what it has, and no numbers in place of the others.
Trained train(const std::string& kind, const RankGrid& grid, bool divided) {
  recipe::Recipe recipe = recipe_of(kind);
  recipe::Phase& phase = recipe.phases[0];
  phase.freeze = {"layers.1.in.*"};
  phase.unfreeze = recipe::Unfreeze{.from_top = 1, .every_steps = 2};
  if (!divided) recipe.parallel.shard = recipe::Shard::kNone;
  ParameterSet parameters = declare(grid.tensor, kVocabulary);
  parameters.allocate();
  parameters.allocate_gradients(test::layout_of_values(parameters), 1);
  const Shards shards = make_shards(recipe, phase, parameters, grid.data.rank(), grid.data.size());
  EXPECT_EQ(shards.divided(), divided && grid.data.size() > 1);
  Optimizer optimizer(parameters, phase, grid.tensor, shards);
  optimizer.allocate();
  Arena counting;
  optimizer.mark_trained(parameters);
  count_gradient_norm({.space = {}, .arena = &counting}, parameters);
  test::Device device(std::max(optimizer.plan_arena_bytes(parameters), counting.peak_bytes()) +
                      Arena::kAlignment);
  test::write_tensor(parameters.values(), sines(parameters.total_count(), 1.3));
  Trained result;
  for (int step = 0; step < 10; ++step) {
    std::vector<float> gradients = sines(parameters.total_count(), 0.9 + step);
    for (const Parameter& parameter : parameters.all()) {
      for (const Piece& piece : shards.pieces_of(parameter)) {
        if (shards.has(piece.owner)) continue;
        std::fill_n(gradients.begin() + parameter.sum_offset + piece.begin, piece.count,
                    std::numeric_limits<float>::quiet_NaN());
      }
    }
    test::write_tensor(parameters.gradients(0), gradients);
    optimizer.begin_step(parameters, step);
    result.norms.push_back(
        gradient_norm(device.exec(), parameters, parameters.gradients(0), shards, grid));
    optimizer.update(device.exec(), parameters, parameters.gradients(0), 0.01, 0.5, step);
    optimizer.share_updates(device.exec(), parameters, grid.data);
  }
  // As a pass does, which asks for one after the other while they still come.
  for (std::size_t number = 0; number < parameters.all().size(); ++number) {
    const std::vector<float> value = test::read_tensor(parameters.value1(number));
    result.values.insert(result.values.end(), value.begin(), value.end());
  }
  return result;
}

TEST(Shards, DividedOptimizerDoesTheSameToTheLastBit) {
  for (const int tensor : {1, 2}) {
    if (test_world->size() % tensor != 0) continue;
    const RankGrid grid = make_grid(*test_world, tensor);
    for (const std::string& kind : recipe::optimizer_names()) {
      const Trained whole = train(kind, grid, false), divided = train(kind, grid, true);
      EXPECT_EQ(divided.norms, whole.norms) << kind << ", " << tensor << " tensor ranks";
      EXPECT_EQ(divided.values, whole.values) << kind << ", " << tensor << " tensor ranks";
    }
  }
}

// Every element has one owner, and a parameter's pieces are its rows.
TEST(Shards, CoverEveryParameterOnce) {
  const RankGrid alone = make_grid(*test_world, 1);
  for (const std::int64_t vocabulary : {10, 150}) {
    const ParameterSet parameters = declare(alone.tensor, vocabulary);
    for (const std::string& kind : recipe::optimizer_names()) {
      const recipe::Recipe recipe = recipe_of(kind);
      for (int num_ranks = 2; num_ranks <= 9; ++num_ranks) {
        const Shards shards = make_shards(recipe, recipe.phases[0], parameters, 0, num_ranks);
        ASSERT_EQ(shards.ranges.size(), static_cast<std::size_t>(num_ranks));
        EXPECT_EQ(shards.ranges.front().begin, 0);
        EXPECT_EQ(shards.ranges.back().end, parameters.total_count());
        for (const Parameter& parameter : parameters.all()) {
          std::int64_t next = 0;
          int owner = -1;
          for (const Piece& piece : shards.pieces_of(parameter)) {
            EXPECT_EQ(piece.begin, next);
            EXPECT_GT(piece.owner, owner);
            EXPECT_EQ(piece.count % (parameter.count / parameter.local_shape[0]), 0);
            next = piece.begin + piece.count;
            owner = piece.owner;
          }
          EXPECT_EQ(next, parameter.count) << parameter.spec.name;
        }
      }
    }
  }
}

std::vector<std::int64_t> kept_by(const ParameterSet& parameters, const recipe::Recipe& recipe,
                                  const Communicator& tensor, int num_ranks) {
  const Shards shards = make_shards(recipe, recipe.phases[0], parameters, 0, num_ranks);
  std::vector<std::int64_t> elements(static_cast<std::size_t>(num_ranks));
  const Optimizer optimizer(parameters, recipe.phases[0], tensor, shards);
  for (const StateTensor& state : optimizer.state())
    elements[static_cast<std::size_t>(state.owner)] += state.count;
  return elements;
}

// A rule that looks at a whole tensor must see it; others share a large table, which is most of
// the model here.
TEST(Shards, LargeTablesAreCutForElementWiseRulesAlone) {
  const RankGrid alone = make_grid(*test_world, 1);
  const ParameterSet parameters = declare(alone.tensor, kVocabulary);
  for (const std::string& kind : recipe::optimizer_names()) {
    const recipe::Recipe recipe = recipe_of(kind);
    const Shards shards = make_shards(recipe, recipe.phases[0], parameters, 0, 4);
    for (const Parameter& parameter : parameters.all()) {
      const bool table = parameter.spec.name.starts_with("embedding.token");
      const bool whole = kind == "lamb" || kind == "adafactor" || !table;
      EXPECT_EQ(shards.pieces_of(parameter).size() == 1, whole)
          << kind << ", " << parameter.spec.name;
    }
    if (kind == "lamb" || kind == "adafactor" || kind == "muon") continue;
    const std::vector<std::int64_t> kept = kept_by(parameters, recipe, alone.tensor, 4);
    const double even = static_cast<double>(std::accumulate(kept.begin(), kept.end(), 0L)) / 4;
    EXPECT_LT(static_cast<double>(*std::max_element(kept.begin(), kept.end())), 1.1 * even) << kind;
  }
}

// With a table of ordinary size nothing is cut, so that checkpoints look as they did.
TEST(Shards, EvenSharesAreMadeOfWholeParametersWherePossible) {
  const RankGrid alone = make_grid(*test_world, 1);
  const ParameterSet parameters = declare(alone.tensor, 26);
  const recipe::Recipe recipe = recipe_of("adamw");
  const Shards shards = make_shards(recipe, recipe.phases[0], parameters, 0, 2);
  for (const Parameter& parameter : parameters.all())
    EXPECT_EQ(shards.pieces_of(parameter).size(), 1) << parameter.spec.name;
}

// Frozen parameters have no state: what is trained is what is divided.
TEST(Shards, OnlyTrainedParametersCount) {
  const RankGrid alone = make_grid(*test_world, 1);
  const ParameterSet parameters = declare(alone.tensor, kVocabulary);
  recipe::Recipe recipe = recipe_of("adamw");
  recipe.phases[0].freeze = {"embedding.*"};
  const std::vector<std::int64_t> kept = kept_by(parameters, recipe, alone.tensor, 3);
  EXPECT_EQ(kept, std::vector<std::int64_t>(3, 2 * (96 + 12 + 96 + 8)));  // a layer each
}

TEST(Shards, AreAskedFor) {
  const RankGrid alone = make_grid(*test_world, 1);
  const ParameterSet parameters = declare(alone.tensor, kVocabulary);
  recipe::Recipe recipe = recipe_of("adamw");
  EXPECT_FALSE(make_shards(recipe, recipe.phases[0], parameters, 0, 1).divided());
  recipe.parallel.shard = recipe::Shard::kNone;
  EXPECT_FALSE(make_shards(recipe, recipe.phases[0], parameters, 0, 2).divided());
}

}  // namespace
}  // namespace polyphase
