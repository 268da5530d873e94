// SPDX-License-Identifier: Apache-2.0
#include "kernels/pair_features.hpp"

#include <cmath>

#include "kernels/device.hpp"

namespace polyphase::test {
namespace {

constexpr std::int64_t kPairs = 5, kWidth = 70;

// Rows of (u, v), rounded to Real; in the first pair both texts have the same state.
template <class Real>
std::vector<double> states() {
  auto x = random_reals(1, kPairs * 2 * kWidth);
  for (auto& value : x) value = to_float(from_float<Real>(static_cast<float>(value)));
  std::copy_n(x.begin(), kWidth, x.begin() + kWidth);
  return {x.begin(), x.end()};
}

// The features of one pair, in float64.
std::vector<double> features(const double* x) {
  std::vector<double> y(x, x + 2 * kWidth);
  for (std::int64_t c = 0; c < kWidth; ++c) y.push_back(std::abs(x[c] - x[kWidth + c]));
  for (std::int64_t c = 0; c < kWidth; ++c) y.push_back(x[c] * x[kWidth + c]);
  return y;
}

template <class Real>
void check_forward(double relative_error) {
  Device device;
  const auto x = states<Real>();
  std::vector<double> expected;
  for (std::int64_t b = 0; b < kPairs; ++b) {
    const auto y = features(&x[b * 2 * kWidth]);
    expected.insert(expected.end(), y.begin(), y.end());
  }
  const auto y = device.arena().take2<Real>(kPairs, 4 * kWidth);
  pair_features_forward<Real>(device.exec(), y, device.put_real<Real>(x, kPairs, 2 * kWidth));
  expect_close("y", device.get_real(y), expected, relative_error);
}

TEST(PairFeatures, AreBothStatesTheirDistanceAndTheirProduct) {
  check_forward<float>(8 * kFloatEpsilon);
  check_forward<bf16>(1.0 / 64);
}

// Central differences of Σ dy · y; the step is too short to pass |u - v| = 0 where u ≠ v.
template <class Real>
void check_backward() {
  Device device;
  auto x = states<Real>();
  const auto dy = random_reals(2, kPairs * 4 * kWidth);
  constexpr double kStep = 1e-7;
  std::vector<double> expected(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t b = i / (2 * kWidth);
    double change = 0.0;
    for (const double step : {kStep, -kStep}) {
      const double before = x[i];
      x[i] += step;
      const auto y = features(&x[b * 2 * kWidth]);
      x[i] = before;
      for (std::size_t c = 0; c < y.size(); ++c) change += step * dy[b * 4 * kWidth + c] * y[c];
    }
    expected[i] = change / (2 * kStep * kStep);
  }
  const auto dx = device.arena().take2<float>(kPairs, 2 * kWidth);
  pair_features_backward<Real>(device.exec(), dx, device.put_real<float>(dy, kPairs, 4 * kWidth),
                               device.put_real<Real>(x, kPairs, 2 * kWidth));
  expect_close("dx", device.get_real(dx), expected, 1e-5);
}

TEST(PairFeatures, GradientEqualsDifferences) {
  check_backward<float>();
  check_backward<bf16>();
}

}  // namespace
}  // namespace polyphase::test
