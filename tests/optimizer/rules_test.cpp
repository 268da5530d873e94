// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "comm/session.hpp"
#include "kernels/device.hpp"
#include "kernels/orthogonalise.hpp"
#include "model/gradients.hpp"
#include "optimizer/optimizer.hpp"
#include "optimizer/test_world.hpp"
#include "recipe/optimizers.hpp"

namespace polyphase {
namespace {

constexpr int kSteps = 10;

recipe::Phase phase_of(const std::string& kind) {
  recipe::Phase phase;
  phase.optimizer = recipe::optimizer_defaults(kind);
  phase.optimizer.weight_decay = 0.1;
  return phase;
}

// Matrices split by rows, by columns and not at all; vectors split and whole.
ParameterSet declare(const Communicator& tensor) {
  const auto part = [&tensor](std::int64_t whole) {
    return split_evenly(whole, tensor.rank(), tensor.size());
  };
  ParameterSet parameters;
  parameters.declare({.name = "embedding.token.weight",
                      .global_shape = {10, 8},
                      .split_dimension = 0,
                      .split = part(10)});
  parameters.declare({.name = "layers.0.in.weight",
                      .global_shape = {12, 8},
                      .split_dimension = 0,
                      .split = part(12)});
  parameters.declare({.name = "layers.0.in.bias",
                      .global_shape = {12},
                      .split_dimension = 0,
                      .split = part(12),
                      .decays = false});
  parameters.declare({.name = "layers.0.out.weight",
                      .global_shape = {8, 12},
                      .split_dimension = 1,
                      .split = part(12)});
  parameters.declare({.name = "layers.0.norm.gain", .global_shape = {8}, .decays = false});
  parameters.allocate();
  parameters.allocate_gradients(test::layout_of_values(parameters), 1);
  return parameters;
}

// Calls set(index into the flat storage, a number of this element of the whole parameter).
template <class Set>
void for_elements_of(const Parameter& parameter, const Set& set) {
  const ParameterSpec& spec = parameter.spec;
  const std::int64_t begin = spec.split_dimension < 0 ? 0 : spec.split.begin;
  const bool rows = spec.global_shape.size() == 2 && spec.split_dimension == 0;
  const std::int64_t columns = parameter.local_shape.back();
  for (std::int64_t i = 0; i < parameter.count; ++i) {
    const std::int64_t row = i / columns + (rows ? begin : 0);
    const std::int64_t column = i % columns + (rows ? 0 : begin);
    set(parameter.offset + i, row * spec.global_shape.back() + column);
  }
}

// All elements of whole parameters after some steps on gradients that are the same on any split.
std::vector<std::vector<double>> train(const std::string& kind, const Communicator& tensor) {
  ParameterSet parameters = declare(tensor);
  Optimizer optimizer(parameters, phase_of(kind), tensor);
  optimizer.allocate();
  test::Device device(optimizer.plan_arena_bytes(parameters) + Arena::kAlignment);
  std::vector<float> values(static_cast<std::size_t>(parameters.total_count()));
  std::vector<float> gradients(values.size());
  for (const Parameter& parameter : parameters.all()) {
    for_elements_of(parameter, [&](std::int64_t at, std::int64_t i) {
      values[at] = static_cast<float>(0.5 * std::sin(1.3 + 0.7 * static_cast<double>(i * i)));
    });
  }
  test::write_tensor(parameters.values(), values);
  for (int step = 0; step < kSteps; ++step) {
    for (const Parameter& parameter : parameters.all()) {
      for_elements_of(parameter, [&](std::int64_t at, std::int64_t i) {
        gradients[at] = static_cast<float>(std::cos(0.9 * static_cast<double>(i * i + step))) +
                        0.5F * values[at];
      });
    }
    test::write_tensor(parameters.gradients(0), gradients);
    optimizer.update(device.exec(), parameters, parameters.gradients(0), 0.01, 0.5, step);
    values = test::read_tensor(parameters.values());
  }
  std::vector<std::vector<double>> all;
  for (const Parameter& parameter : parameters.all()) {
    std::int64_t count = 1;
    for (const std::int64_t extent : parameter.spec.global_shape) count *= extent;
    std::vector<float> whole(static_cast<std::size_t>(count), 0.0F);
    for_elements_of(parameter, [&](std::int64_t at, std::int64_t i) {
      whole[static_cast<std::size_t>(i)] = values[at];
    });
    if (parameter.spec.split_dimension >= 0) tensor.sum(whole.data(), count);
    all.emplace_back(whole.begin(), whole.end());
  }
  return all;
}

// A parameter changes by less than 0.1 in these steps; float32 sums of up to 12 terms in another
// order, and the five products of Newton and Schulz, which enlarge small singular vectors by up to
// 3.4^5, leave less than 1e-5 of it.
TEST(Rules, SplitParametersBecomeWhatWholeOnesBecome) {
  const RankGrid alone = make_grid(*test_world, 1);
  const RankGrid split = make_grid(*test_world, test_world->size());
  for (const std::string& kind : recipe::optimizer_names()) {
    const auto whole = train(kind, alone.tensor), parts = train(kind, split.tensor);
    for (std::size_t p = 0; p < whole.size(); ++p) {
      for (std::size_t i = 0; i < whole[p].size(); ++i)
        EXPECT_NEAR(parts[p][i], whole[p][i], 1e-6) << kind << ", parameter " << p;
    }
  }
}

// What a checkpoint and a plan of memory count on.
TEST(Rules, KeepWhatTheyNeedAndNoMore) {
  const RankGrid alone = make_grid(*test_world, 1);
  const ParameterSet parameters = declare(alone.tensor);
  const auto count = [&](const recipe::Phase& phase) {
    std::int64_t elements = 0;
    const Optimizer optimizer(parameters, phase, alone.tensor);
    for (const StateTensor& tensor : optimizer.state()) elements += tensor.count;
    return elements;
  };
  const std::int64_t matrices = 80 + 96 + 96, vectors = 12 + 8;
  EXPECT_EQ(count(phase_of("sgd")), matrices + vectors);
  EXPECT_EQ(count(phase_of("adam")), 2 * (matrices + vectors));
  EXPECT_EQ(count(phase_of("adamw")), 2 * (matrices + vectors));
  EXPECT_EQ(count(phase_of("lamb")), 2 * (matrices + vectors));
  EXPECT_EQ(count(phase_of("lion")), matrices + vectors);
  EXPECT_EQ(count(phase_of("adafactor")), (10 + 8) + (12 + 8) + (8 + 12) + vectors);
  EXPECT_EQ(count(phase_of("muon")), 96 + 96 + 2 * (80 + vectors));
  recipe::Phase plain = phase_of("sgd"), frozen = phase_of("adamw");
  plain.optimizer.momentum = 0;
  EXPECT_EQ(count(plain), 0);
  frozen.freeze = {"embedding*", "*.weight"};
  EXPECT_EQ(count(frozen), 2 * vectors);
}

TEST(Rules, StateOfOneNumberARowIsSplitAsTheRowsAre) {
  const RankGrid split = make_grid(*test_world, test_world->size());
  const ParameterSet parameters = declare(split.tensor);
  const Optimizer optimizer(parameters, phase_of("adafactor"), split.tensor);
  const auto find = [&](const std::string& name) {
    const auto found = std::find_if(optimizer.state().begin(), optimizer.state().end(),
                                    [&](const StateTensor& tensor) { return tensor.name == name; });
    EXPECT_NE(found, optimizer.state().end()) << name;
    return *found;
  };
  const StateTensor rows = find("row_square/layers.0.in.weight");
  EXPECT_EQ(rows.global_shape, std::vector<std::int64_t>{12});
  EXPECT_EQ(rows.split_dimension, 0);
  EXPECT_EQ(rows.count, 12 / test_world->size());
  EXPECT_EQ(rows.begin, split.tensor.rank() * rows.count);
  const StateTensor whole = find("row_square/layers.0.out.weight");
  EXPECT_EQ(whole.split_dimension, -1);
  EXPECT_EQ(whole.count, 8);
  EXPECT_EQ(find("column_square/layers.0.out.weight").split_dimension, 0);
}

// A phase that keeps the state of the one before goes on where that one stood.
TEST(Rules, KeptStateGoesOnToTheLastBit) {
  const RankGrid alone = make_grid(*test_world, 1);
  std::vector<recipe::Phase> phases;
  for (const std::string& kind : recipe::optimizer_names()) phases.push_back(phase_of(kind));
  phases.push_back(phase_of("adamw"));
  phases.back().optimizer.state_precision = recipe::Precision::kBf16;
  for (const recipe::Phase& phase : phases) {
    const std::string& kind = phase.optimizer.kind;
    ParameterSet straight = declare(alone.tensor), split = declare(alone.tensor);
    Optimizer whole(straight, phase, alone.tensor);
    Optimizer first(split, phase, alone.tensor), second(split, phase, alone.tensor);
    for (Optimizer* optimizer : {&whole, &first, &second}) optimizer->allocate();
    test::Device device(whole.plan_arena_bytes(straight) + Arena::kAlignment);
    const auto step = [&](Optimizer& optimizer, ParameterSet& parameters, int number, int at) {
      std::vector<float> gradients;
      for (std::int64_t i = 0; i < parameters.total_count(); ++i)
        gradients.push_back(
            static_cast<float>(std::cos(0.9 * static_cast<double>(i * i + number))));
      test::write_tensor(parameters.gradients(0), gradients);
      optimizer.update(device.exec(), parameters, parameters.gradients(0), 0.01, 1.0, at);
    };
    for (const ParameterSet* parameters : {&straight, &split})
      fill(device.exec(), parameters->values(), 0.25F);
    for (int number = 0; number < 6; ++number) step(whole, straight, number, number);
    for (int number = 0; number < 4; ++number) step(first, split, number, number);
    std::map<std::string, std::int64_t> updates;
    for (std::size_t s = 0; s < first.state().size(); ++s) {
      std::vector<float> values(static_cast<std::size_t>(first.state()[s].count));
      copy_state_to_host(values.data(), first.state()[s]);
      copy_state_from_host(second.state()[s], values.data());
      updates[split.at(first.state()[s].parameter).spec.name] = 4;
    }
    second.go_on_from(split, updates);
    for (int number = 4; number < 6; ++number) step(second, split, number, number - 4);
    for (const Parameter& parameter : straight.all())
      ASSERT_EQ(test::read_tensor(test::value_of(straight, parameter)),
                test::read_tensor(test::value_of(split, parameter)))
          << kind << ", " << parameter.spec.name;
  }
}

// State that was converted: squares may have been counted from a later update on.
TEST(Rules, MeansOfGradientsAndOfSquaresCountForThemselves) {
  const RankGrid alone = make_grid(*test_world, 1);
  ParameterSet parameters = declare(alone.tensor);
  recipe::Phase phase = phase_of("adamw");
  phase.optimizer.weight_decay = 0;
  Optimizer optimizer(parameters, phase, alone.tensor);
  optimizer.allocate();
  test::Device device(optimizer.plan_arena_bytes(parameters) + Arena::kAlignment);
  fill(device.exec(), parameters.values(), 0.0F);
  fill(device.exec(), parameters.gradients(0), 0.1F);
  for (const StateTensor& tensor : optimizer.state())
    fill(device.exec(), tensor.values, tensor.name.starts_with("moment1") ? 0.2F : 4e-5F);
  const std::string converted = "layers.0.in.weight", kept = "layers.0.in.bias";
  optimizer.go_on_from(parameters, {{converted, 2}, {kept, 2}}, {{converted, 1}});
  optimizer.update(device.exec(), parameters, parameters.gradients(0), 0.01, 1.0, 0);
  const double m1 = 0.9 * 0.2 + 0.1 * 0.1, m2 = 0.999 * 4e-5 + 0.001 * 0.01;
  const auto expected = [&](int updates, int squares) {
    return -0.01 * m1 / (1 - std::pow(0.9, updates)) /
           std::sqrt(m2 / (1 - std::pow(0.999, squares)));
  };
  const std::vector<float> values = test::read_tensor(parameters.values());
  EXPECT_NEAR(values[parameters.find(converted)->offset], expected(3, 2), 1e-6);
  EXPECT_NEAR(values[parameters.find(kept)->offset], expected(3, 3), 1e-6);
}

TEST(Rules, FrozenParametersStayAsTheyAre) {
  const RankGrid alone = make_grid(*test_world, 1);
  for (const std::string& kind : recipe::optimizer_names()) {
    ParameterSet parameters = declare(alone.tensor);
    recipe::Phase phase = phase_of(kind);
    phase.freeze = {"layers.0.in.*"};
    Optimizer optimizer(parameters, phase, alone.tensor);
    optimizer.allocate();
    test::Device device(optimizer.plan_arena_bytes(parameters) + Arena::kAlignment);
    fill(device.exec(), parameters.values(), 0.25F);
    fill(device.exec(), parameters.gradients(0), 1.0F);
    optimizer.begin_step(parameters, 0);
    optimizer.update(device.exec(), parameters, parameters.gradients(0), 0.01, 1.0, 0);
    for (const Parameter& parameter : parameters.all()) {
      const bool frozen = parameter.spec.name.starts_with("layers.0.in.");
      EXPECT_EQ(parameter.trained, !frozen);
      EXPECT_EQ(test::read_tensor(test::value_of(parameters, parameter))[0] == 0.25F, frozen)
          << kind << ", " << parameter.spec.name;
    }
  }
}

TEST(Orthogonalise, BringsSingularValuesNearOne) {
  test::Device device;
  for (const auto& [rows, columns] : {std::pair{6, 10}, std::pair{10, 6}, std::pair{5, 5}}) {
    const auto random = test::random_reals(7, rows * columns);
    const Tensor2<float> x = device.put_real<float>(random, rows, columns);
    orthogonalise(device.exec(), x);
    const std::vector<double> result = device.get_real(x);
    // The gram matrix along the shorter side has the squares of the singular values as its
    // eigenvalues, so its quadratic form on any unit vector lies between the smallest and the
    // largest: between 0.4 and 1.5 for singular values between 0.65 and 1.22.
    const int side = std::min(rows, columns), other = std::max(rows, columns);
    for (int trial = 0; trial < 50; ++trial) {
      const auto direction = test::random_reals(100 + trial, side);
      double form = 0, length = 0;
      for (int o = 0; o < other; ++o) {
        double dot = 0;
        for (int s = 0; s < side; ++s) {
          dot += direction[s] * result[rows <= columns ? s * columns + o : o * columns + s];
        }
        form += dot * dot;
      }
      for (const double part : direction) length += part * part;
      EXPECT_GT(form / length, 0.4) << rows << " × " << columns;
      EXPECT_LT(form / length, 1.5) << rows << " × " << columns;
    }
  }
}

TEST(Orthogonalise, LeavesZerosAlone) {
  test::Device device;
  const Tensor2<float> x = device.put_real<float>(std::vector<double>(12, 0.0), 3, 4);
  orthogonalise(device.exec(), x);
  EXPECT_EQ(device.get_real(x), std::vector<double>(12, 0.0));
}

}  // namespace
}  // namespace polyphase
