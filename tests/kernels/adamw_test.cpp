// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.hpp"

#include "kernels/device.hpp"
#include "reference/row_kernels.hpp"

namespace polyphase::test {
namespace {

template <class Moment>
void update(Device& device, Tensor1<float> parameter, Tensor1<Moment> moment1,
            Tensor1<Moment> moment2, Tensor1<const float> gradient, const AdamW& rule,
            const RandomRounding& rounding = {}) {
  adamw_update<Moment>(device.exec(), {{parameter, moment1, moment2, gradient, rule, rounding}});
}

TEST(AdamW, TwentyStepsFollowTheFormula) {
  Device device;
  constexpr std::int64_t kCount = 5003;  // no multiple of a vector or a block
  const std::vector<double> start = random_reals(1, kCount);
  const auto parameter = device.put_real<float>(start);
  const auto moment1 = device.put_real<float>(std::vector<double>(kCount, 0.0));
  const auto moment2 = device.put_real<float>(std::vector<double>(kCount, 0.0));
  std::vector<reference::AdamWParameter> expected;
  for (const double value : start) expected.push_back({value, 0.0, 0.0});
  AdamW rule{.learning_rate = 1e-2F, .weight_decay = 0.1F, .gradient_scale = 0.25F};
  constexpr int kSteps = 20;
  for (int step = 1; step <= kSteps; ++step) {
    // Gradients of very different sizes, some of them 0.
    std::vector<double> gradient = random_reals(100 + step, kCount);
    for (std::int64_t i = 0; i < kCount; ++i)
      gradient[i] *= i % 7 == 0 ? 0.0 : std::pow(2, -(i % 24));
    rule.step = rule.squares_step = step;
    update<float>(device, parameter, moment1, moment2, device.put_real<float>(gradient), rule);
    for (std::int64_t i = 0; i < kCount; ++i) {
      expected[i].update(gradient[i] * rule.gradient_scale, rule.learning_rate, rule.beta1,
                         rule.beta2, rule.epsilon, rule.weight_decay, step);
    }
  }
  std::vector<double> parameters, firsts, seconds, first_error, second_error;
  for (const auto& one : expected) {
    parameters.push_back(one.parameter), firsts.push_back(one.moment1);
    seconds.push_back(one.moment2);
    second_error.push_back(4 * kSteps * kFloatEpsilon * one.moment2);
  }
  for (std::int64_t i = 0; i < kCount; ++i) {
    // The first moment is a sum of gradients of both signs, each below 2 · 0.25 · its power of two.
    first_error.push_back(4 * kSteps * kFloatEpsilon * 0.5 * std::pow(2, -(i % 24)));
  }
  expect_close("moment1", device.get_real(moment1), firsts, first_error);
  expect_close("moment2", device.get_real(moment2), seconds, second_error);
  // A step moves a parameter by about the learning rate, with a few roundings of the parameter
  // (below 2) each step, and a relative error of the ratio of the moments.
  const double step_error = 2 * 2 * kFloatEpsilon + rule.learning_rate * 8 * kSteps * kFloatEpsilon;
  expect_close("parameter", device.get_real(parameter), parameters, kSteps * step_error);
}

TEST(AdamW, DecayAloneShrinksTheParameter) {
  Device device;
  const auto parameter = device.put_real<float>({2.0, -4.0});
  const auto zero1 = device.put_real<float>({0.0, 0.0}), zero2 = device.put_real<float>({0.0, 0.0});
  update<float>(device, parameter, zero1, zero2, device.put_real<float>({0.0, 0.0}),
                {.learning_rate = 0.5F, .weight_decay = 0.5F});
  EXPECT_EQ(device.get_real(parameter), (std::vector<double>{1.5, -3.0}));
}

TEST(AdamW, NaNGradientReachesTheParameter) {
  Device device;
  const auto parameter = device.put_real<float>({2.0});
  const auto zero1 = device.put_real<float>({0.0}), zero2 = device.put_real<float>({0.0});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  update<float>(device, parameter, zero1, zero2, device.put_real<float>({nan}),
                {.learning_rate = 0.5F});
  EXPECT_TRUE(std::isnan(device.get_real(parameter)[0]));
}

// 0.999 of a bf16 is nearer to itself than to its neighbour: rounded to nearest it would stay.
TEST(AdamW, RoundedMomentsKeepTheirMeans) {
  Device device;
  constexpr std::int64_t kCount = 5003;
  constexpr int kSteps = 100;
  const std::vector<double> zeros(kCount, 0.0), ones(kCount, 1.0);
  const auto parameter = device.put_real<float>(zeros), gradient = device.put_real<float>(zeros);
  const auto moment1 = device.put_real<bf16>(ones), moment2 = device.put_real<bf16>(ones);
  for (int step = 1; step <= kSteps; ++step) {
    update<bf16>(device, parameter, moment1, moment2, gradient,
                 {.beta1 = 0.9995F, .step = step, .squares_step = step},
                 {.key = 0x1234567800000000ULL * step + 77 * step});
  }
  const auto mean_of = [&](Tensor1<bf16> moment) {
    double sum = 0;
    for (const double value : device.get_real(moment)) sum += value;
    return sum / kCount;
  };
  // Each rounding errs by at most a unit of the last place below 1, 2^-8, with a deviation of at
  // most half of it; six deviations of the mean of all.
  const double tolerance = 6 * std::sqrt(static_cast<double>(kSteps) / kCount) * std::pow(2, -9);
  EXPECT_NEAR(mean_of(moment1), std::pow(0.9995, kSteps), tolerance);
  EXPECT_NEAR(mean_of(moment2), std::pow(0.999, kSteps), tolerance);
}

// Data ranks that divide a tensor draw what one would; a step uses moments before they are rounded.
TEST(AdamW, RoundingIsAFunctionOfTheElement) {
  Device device;
  constexpr std::int64_t kCount = 1000, kFirst = 400;
  const auto gradient = device.put_real<float>(random_reals(1, kCount));
  const auto make = [&] { return device.put_real<float>(random_reals(2, kCount)); };
  const auto whole = make(), parts = make(), exact = make();
  const std::vector<double> zeros(kCount, 0.0);
  const auto zero = [&] { return device.put_real<bf16>(zeros); };
  const Tensor1<bf16> m = zero(), v = zero(), part_m = zero(), part_v = zero();
  const AdamW rule{.learning_rate = 0.1F};
  update<bf16>(device, whole, m, v, gradient, rule, {.key = 5});
  const auto update_part = [&](std::int64_t first, std::int64_t count) {
    const auto part = [&](auto tensor) { return decltype(tensor)(tensor.data() + first, count); };
    update<bf16>(device, part(parts), part(part_m), part(part_v),
                 part(Tensor1<const float>(gradient)), rule, {.key = 5, .first_element = first});
  };
  update_part(0, kFirst);
  update_part(kFirst, kCount - kFirst);
  EXPECT_EQ(device.get_real(part_m), device.get_real(m));
  EXPECT_EQ(device.get_real(part_v), device.get_real(v));
  EXPECT_EQ(device.get_real(parts), device.get_real(whole));
  update<float>(device, exact, device.put_real<float>(zeros), device.put_real<float>(zeros),
                gradient, rule);
  EXPECT_EQ(device.get_real(exact), device.get_real(whole));
}

TEST(AdamW, ANaNIsNotRoundedAway) {
  Device device;
  const auto parameter = device.put_real<float>({2.0});
  const auto moment1 = device.put_real<bf16>({0.0}), moment2 = device.put_real<bf16>({0.0});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  update<bf16>(device, parameter, moment1, moment2, device.put_real<float>({nan}), {});
  EXPECT_TRUE(std::isnan(device.get_real(moment1)[0]));
  EXPECT_TRUE(std::isnan(device.get_real(moment2)[0]));
}

TEST(AdamW, DifferentExtentsAreABrokenPromise) {
  Device device;
  const auto two = device.put_real<float>({0.0, 0.0});
  const auto three = device.put_real<float>({0.0, 0.0, 0.0});
  EXPECT_THROW(update<float>(device, two, two, two, three, {}), std::logic_error);
}

// Tensors that are updated in one launch, longer and shorter than a block, empty ones between them,
// get what each gets alone.
TEST(AdamW, ManyTensorsInOneLaunchAreEachOnesOwn) {
  Device device;
  std::vector<AdamWUpdate<float>> all;
  std::vector<Tensor1<float>> alone;
  for (const std::int64_t count : {1, 0, 5003, 2048, 7, 0, 4096}) {
    const auto key = static_cast<std::uint64_t>(all.size());
    const std::vector<double> start = random_reals(key, count), zeros(count, 0.0);
    const auto gradient = device.put_real<float>(random_reals(50 + key, count));
    const AdamW rule{.learning_rate = 0.01F * static_cast<float>(1 + key), .weight_decay = 0.1F};
    all.push_back({device.put_real<float>(start),
                   device.put_real<float>(zeros),
                   device.put_real<float>(zeros),
                   gradient,
                   rule,
                   {}});
    alone.push_back(device.put_real<float>(start));
    update<float>(device, alone.back(), device.put_real<float>(zeros),
                  device.put_real<float>(zeros), gradient, rule);
  }
  adamw_update(device.exec(), all);
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(device.get_real(all[i].parameter), device.get_real(alone[i])) << i;
}

}  // namespace
}  // namespace polyphase::test
