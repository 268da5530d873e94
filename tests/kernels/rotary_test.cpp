// SPDX-License-Identifier: Apache-2.0
#include "kernels/rotary.hpp"

#include "kernels/device.hpp"

namespace polyphase::test {
namespace {

// x with two more columns on either side, which belong to nobody.
struct RotaryCase {
  std::int64_t num_heads, head_width;
  std::vector<std::int32_t> positions;
  double theta = 10000.0;
  static constexpr std::int64_t kGap = 2;

  std::int64_t num_rows() const { return static_cast<std::int64_t>(positions.size()); }
  std::int64_t row_width() const { return num_heads * head_width + 2 * kGap; }

  template <class Real>
  std::vector<double> run(const std::vector<double>& x, Direction direction) const {
    Device device;
    const Tensor2<Real> rows = device.put_real<Real>(x, num_rows(), row_width());
    rotary<Real>(device.exec(), {rows, kGap}, num_heads, head_width, device.put(positions), theta,
                 direction);
    return device.get_real(rows);
  }

  // What is expected, and how far each element may be off.
  struct Expected {
    std::vector<double> y, tolerance;
  };
  Expected expected(const std::vector<double>& x, double sign, double store_error) const {
    Expected result{x, std::vector<double>(x.size(), 0.0)};
    const std::int64_t half = head_width / 2;
    for (std::int64_t n = 0; n < num_rows(); ++n) {
      for (std::int64_t i = 0; i < num_heads * half; ++i) {
        const std::int64_t d = i % half;
        const std::size_t a = n * row_width() + kGap + i / half * head_width + d, b = a + half;
        const double angle =
            sign * positions[n] * std::pow(theta, -2.0 * static_cast<double>(d) / head_width);
        result.y[a] = x[a] * std::cos(angle) - x[b] * std::sin(angle);
        result.y[b] = x[b] * std::cos(angle) + x[a] * std::sin(angle);
        // Four roundings of terms and of sine and cosine; positions beyond 2^20 lose some of the
        // angle in float64, here as there.
        const double terms = std::abs(x[a]) + std::abs(x[b]);
        const double angle_error = std::abs(angle) * 1e-15;
        result.tolerance[a] =
            terms * (6 * kFloatEpsilon + angle_error) + std::abs(result.y[a]) * store_error;
        result.tolerance[b] =
            terms * (6 * kFloatEpsilon + angle_error) + std::abs(result.y[b]) * store_error;
      }
    }
    return result;
  }
};

const RotaryCase kRotaryCases[] = {
    {.num_heads = 1, .head_width = 2, .positions = {0, 1, 2, 3, 5, 100}},
    {.num_heads = 3, .head_width = 20, .positions = {7, 7, 0, 1023, 4096, 123457}, .theta = 500.0},
    {.num_heads = 2, .head_width = 256, .positions = {2000000000, 0, 31}, .theta = 500000.0},
};

template <class Real>
class RotaryTest : public testing::Test {};
using Reals = testing::Types<float, bf16>;
TYPED_TEST_SUITE(RotaryTest, Reals);

TYPED_TEST(RotaryTest, BothDirectionsAgreeWithPlainLoops) {
  for (const RotaryCase& c : kRotaryCases) {
    SCOPED_TRACE(testing::Message() << "width " << c.head_width);
    const auto x = random_reals(1, c.num_rows() * c.row_width());
    const auto forward = c.expected(x, 1.0, kStoreError<TypeParam>);
    expect_close("forward", c.run<TypeParam>(x, Direction::kForward), forward.y, forward.tolerance);
    const auto backward = c.expected(x, -1.0, kStoreError<TypeParam>);
    expect_close("backward", c.run<TypeParam>(x, Direction::kBackward), backward.y,
                 backward.tolerance);
  }
}

// The gradient of Σ w·rotary(x) is rotary's backward pass on w.
TEST(RotaryGradientTest, BackwardIsTheCentralDifferenceOfForward) {
  const RotaryCase c{.num_heads = 2, .head_width = 6, .positions = {3, 11}};
  auto x = random_reals(1, c.num_rows() * c.row_width());
  const auto w = random_reals(2, c.num_rows() * c.row_width());
  const auto dx = c.run<float>(w, Direction::kBackward);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = central_difference(&x[i], [&] {
      const auto y = c.expected(x, 1.0, 0.0).y;
      double sum = 0.0;
      for (std::size_t k = 0; k < y.size(); ++k) sum += w[k] * y[k];
      return sum;
    });
    EXPECT_NEAR(dx[i], expected, kDifferenceError * 10 + 4.0 * 6 * kFloatEpsilon) << i;
  }
}

// What rotary positions are for: products depend on the distance alone.
TEST(RotaryPromiseTest, ProductsDependOnTheDistance) {
  const auto x = random_reals(1, 2 * 20);
  const auto product = [&](std::int32_t first) {
    const RotaryCase c{.num_heads = 1, .head_width = 16, .positions = {first, first + 5}};
    const auto y = c.run<float>(x, Direction::kForward);
    double sum = 0.0;
    for (int i = 2; i < 18; ++i) sum += y[i] * y[20 + i];
    return sum;
  };
  // 16 products of numbers up to 2√2, each wrong by a few roundings.
  EXPECT_NEAR(product(0), product(777), 16 * 8.0 * 16 * kFloatEpsilon);
}

TEST(RotaryPromiseTest, TensorsThatDoNotFitAreRefused) {
  Device device;
  const auto rows = device.arena().take2<float>(2, 12);
  const auto positions = device.put(std::vector<std::int32_t>{0, 1});
  const auto run = [&](std::int64_t first_column, std::int64_t num_heads, std::int64_t head_width) {
    rotary<float>(device.exec(), {rows, first_column}, num_heads, head_width, positions, 1e4,
                  Direction::kForward);
  };
  EXPECT_NO_THROW(run(0, 3, 4));
  EXPECT_THROW(run(1, 3, 4), std::logic_error);
  EXPECT_THROW(run(0, 4, 3), std::logic_error);
}

}  // namespace
}  // namespace polyphase::test
