// SPDX-License-Identifier: Apache-2.0
#include "optimizer/convert_state.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace polyphase {
namespace {

using Values = std::vector<float>;

recipe::Optimizer optimizer(const std::string& kind, double beta1 = 0.9, double beta2 = 0.999,
                            double momentum = 0.95) {
  recipe::Optimizer settings;
  settings.kind = kind;
  settings.beta1 = beta1, settings.beta2 = beta2, settings.momentum = momentum;
  return settings;
}

void expect_near(const Values& actual, const Values& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i)
    EXPECT_NEAR(actual[i], expected[i], 1e-6 * std::abs(expected[i])) << i;
}

// What every rule makes of `count` equal gradients, in plain loops.
double after_equal_gradients(const std::string& name, const recipe::Optimizer& o, double g,
                             int count) {
  double x = 0;
  for (int i = 1; i <= count; ++i) {
    const double decay = o.kind == "lion" ? o.beta2 : o.momentum, share = std::pow(i, -0.8);
    if (name == "moment1") x = o.beta1 * x + (1 - o.beta1) * g;
    if (name == "moment2") x = o.beta2 * x + (1 - o.beta2) * g * g;
    if (name == "momentum") x = decay * x + (1 - decay) * g;
    if (name == "velocity") x = o.momentum * x + g;
    if (name == "square") x += share * (g * g - x);
  }
  return x;
}

// The same mean of gradients, whoever holds it: each kind goes on as if it had seen the gradients.
TEST(ConvertState, EqualGradientsGiveWhatTheOtherKindHadMadeOfThem) {
  const recipe::Optimizer sgd = optimizer("sgd"), lion = optimizer("lion", 0.9, 0.99),
                          muon = optimizer("muon"), adam = optimizer("adam", 0.8, 0.98),
                          lamb = optimizer("lamb");
  struct Kind {
    const recipe::Optimizer& optimizer;
    const char* mean;
  };
  const std::vector<Kind> kinds = {{sgd, "velocity"},
                                   {lion, "momentum"},
                                   {muon, "momentum"},
                                   {adam, "moment1"},
                                   {lamb, "moment1"}};
  for (const int count : {1, 3, 200}) {
    for (const Kind& before : kinds) {
      for (const Kind& now : kinds) {
        const auto held =
            static_cast<float>(after_equal_gradients(before.mean, before.optimizer, 0.25, count));
        const ConvertedState result = convert_state(before.optimizer, {{before.mean, {held}}},
                                                    {count, count}, now.optimizer, {now.mean}, {1});
        expect_near(
            result.tensors.at(now.mean),
            {static_cast<float>(after_equal_gradients(now.mean, now.optimizer, 0.25, count))});
        EXPECT_EQ(result.counts.gradients, count);
      }
    }
  }
}

// After many updates all means are the same but SGD's sum.
TEST(ConvertState, VelocityIsASumOfWhatOthersAverage) {
  const ConvertedState sum = convert_state(optimizer("adamw"), {{"moment1", {1.0F, -2.0F}}},
                                           {1000000, 1000000}, optimizer("sgd"), {"velocity"}, {2});
  expect_near(sum.tensors.at("velocity"), {20.0F, -40.0F});
  const ConvertedState mean =
      convert_state(optimizer("sgd"), {{"velocity", {20.0F, -40.0F}}}, {1000000, 1000000},
                    optimizer("lion"), {"momentum"}, {2});
  expect_near(mean.tensors.at("momentum"), {1.0F, -2.0F});
}

TEST(ConvertState, KindsThatHoldTheSameKeepEveryBit) {
  const WholeState state = {{"moment1", {0.1F, 1e-30F, -3.7F}}, {"moment2", {0.3F, 1e-38F, 7.1F}}};
  for (const char* kind : {"adam", "lamb", "muon"}) {
    const ConvertedState result = convert_state(optimizer("adamw"), state, {7, 5}, optimizer(kind),
                                                {"moment1", "moment2"}, {3});
    EXPECT_EQ(result.tensors, state);
    EXPECT_EQ(result.counts.gradients, 7);
    EXPECT_EQ(result.counts.squares, 5);
  }
}

// A matrix of rank one loses nothing on the way.
TEST(ConvertState, MeansOfSquaresBecomeThoseOfRowsAndColumnsAndBack) {
  const Values row = {1, 2, 3}, column = {4, 8};
  Values full;
  for (const float r : row) {
    for (const float c : column) full.push_back(r * c / 2);  // the mean of the rows is 2
  }
  const recipe::Optimizer adamw = optimizer("adamw"), adafactor = optimizer("adafactor");
  const double weights = 1 - std::pow(adamw.beta2, 10);
  Values held;
  for (const float x : full) held.push_back(static_cast<float>(x * weights));
  const ConvertedState factored =
      convert_state(adamw, {{"moment1", Values(6, 1.0F)}, {"moment2", held}}, {10, 10}, adafactor,
                    {"row_square", "column_square"}, {3, 2});
  // row[r] = mean over c of r · c / 2, column[c] = mean over r
  expect_near(factored.tensors.at("row_square"), {3, 6, 9});
  expect_near(factored.tensors.at("column_square"), {4, 8});
  EXPECT_EQ(factored.counts.squares, 10);
  const ConvertedState back =
      convert_state(adafactor, factored.tensors, {10, 10}, adamw, {"moment1", "moment2"}, {3, 2});
  expect_near(back.tensors.at("moment2"), held);
  // Adafactor has no mean of gradients: it begins anew, with a bias correction of its own.
  EXPECT_FALSE(back.tensors.contains("moment1"));
  EXPECT_EQ(back.counts.gradients, 0);
  EXPECT_EQ(back.counts.squares, 10);
}

TEST(ConvertState, SquaresOfVectorsGoOnElementByElement) {
  const recipe::Optimizer adamw = optimizer("adamw"), adafactor = optimizer("adafactor");
  const ConvertedState square =
      convert_state(adamw, {{"moment2", {0.002F, 0.004F}}}, {1, 1}, adafactor, {"square"}, {2});
  expect_near(square.tensors.at("square"), {2.0F, 4.0F});
  const ConvertedState back =
      convert_state(adafactor, {{"square", {2.0F, 4.0F}}}, {1, 1}, adamw, {"moment2"}, {2});
  expect_near(back.tensors.at("moment2"), {0.002F, 0.004F});
}

TEST(ConvertState, WhatHasNoCounterpartBeginsAnew) {
  const recipe::Optimizer sgd = optimizer("sgd"), adafactor = optimizer("adafactor");
  EXPECT_TRUE(convert_state(sgd, {{"velocity", {1.0F}}}, {5, 5}, adafactor, {"square"}, {1})
                  .tensors.empty());
  EXPECT_TRUE(convert_state(adafactor, {{"square", {1.0F}}}, {5, 5}, sgd, {"velocity"}, {1})
                  .tensors.empty());
  EXPECT_TRUE(convert_state(sgd, {}, {5, 5}, optimizer("adamw"), {"moment1", "moment2"}, {1})
                  .tensors.empty());
  // Never updated: a layer that was frozen to the end.
  EXPECT_TRUE(convert_state(optimizer("lion"), {{"momentum", {0.0F}}}, {0, 0}, optimizer("adamw"),
                            {"moment1", "moment2"}, {1})
                  .tensors.empty());
}

// A mean of gradients that meets squares which have seen nothing: the next gradients may be as
// small as they like, and no step is longer than some √2 learning rates.
TEST(ConvertState, NewSquaresBoundTheFirstSteps) {
  const recipe::Optimizer lion = optimizer("lion", 0.9, 0.99), adamw = optimizer("adamw");
  const Values held = {0.5F, -2.0F, 1e-3F, 3.0F};
  const ConvertedState result =
      convert_state(lion, {{"momentum", held}}, {300, 300}, adamw, {"moment1", "moment2"}, {4});
  EXPECT_EQ(result.counts.gradients, 300);
  EXPECT_EQ(result.counts.squares, 1);
  for (const double g : {0.0, 1e-6, 0.1, 2.0, -3.0, 50.0}) {
    for (std::size_t i = 0; i < held.size(); ++i) {
      const double m1 = adamw.beta1 * result.tensors.at("moment1")[i] + (1 - adamw.beta1) * g;
      const double m2 = adamw.beta2 * result.tensors.at("moment2")[i] + (1 - adamw.beta2) * g * g;
      const double step =
          m1 / (1 - std::pow(adamw.beta1, 301)) / std::sqrt(m2 / (1 - std::pow(adamw.beta2, 2)));
      EXPECT_LE(std::abs(step), std::sqrt(2.01)) << g << " " << i;
    }
  }
}

}  // namespace
}  // namespace polyphase
