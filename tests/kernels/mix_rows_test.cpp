// SPDX-License-Identifier: Apache-2.0
#include "kernels/mix_rows.hpp"

#include "kernels/device.hpp"

namespace polyphase::test {
namespace {

constexpr std::int64_t kRows = 5, kWidth = 70;
const std::vector<float> kShares{0.25F, 1.0F, 0.0F, 0.5F, 0.875F};

// What of row n is in mixed row b.
double share_of(std::int64_t n, std::int64_t b, std::int64_t shift) {
  const double own = kShares[b];
  return (n == b ? own : 0.0) + (n == (b + shift) % kRows ? 1.0 - own : 0.0);
}

template <class Real>
void check_forward(std::int64_t shift, double relative_error) {
  Device device;
  const auto x = random_reals(1, kRows * kWidth);
  std::vector<double> expected(2 * kRows * kWidth, 0.0);
  for (std::int64_t m = 0; m < 2 * kRows; ++m) {
    for (std::int64_t n = 0; n < kRows; ++n) {
      for (std::int64_t c = 0; c < kWidth; ++c)
        expected[m * kWidth + c] += share_of(n, m % kRows, shift) * x[n * kWidth + c];
    }
  }
  const auto y = device.arena().take2<Real>(2 * kRows, kWidth);
  mix_rows_forward<Real>(device.exec(), y, device.put_real<Real>(x, kRows, kWidth),
                         device.put(kShares), shift);
  expect_close("y", device.get_real(y), expected, relative_error);
}

TEST(MixRows, EachRowIsMixedWithTheOneThatTheShiftNamesTwice) {
  for (const std::int64_t shift : {0, 1, 3}) {
    check_forward<float>(shift, 8 * kFloatEpsilon);
    check_forward<bf16>(shift, 1.0 / 64);
  }
}

// The backward pass is the forward pass' matrix from its other side.
TEST(MixRows, GradientGoesBackToBothRowsFromBothHalves) {
  for (const std::int64_t shift : {0, 1, 3}) {
    Device device;
    const auto dy = random_reals(2, 2 * kRows * kWidth);
    std::vector<double> expected(kRows * kWidth, 0.0);
    for (std::int64_t m = 0; m < 2 * kRows; ++m) {
      for (std::int64_t n = 0; n < kRows; ++n) {
        for (std::int64_t c = 0; c < kWidth; ++c)
          expected[n * kWidth + c] += share_of(n, m % kRows, shift) * dy[m * kWidth + c];
      }
    }
    const auto dx = device.arena().take2<float>(kRows, kWidth);
    mix_rows_backward(device.exec(), dx, device.put_real<float>(dy, 2 * kRows, kWidth),
                      device.put(kShares), shift);
    expect_close("dx", device.get_real(dx), expected, 16 * kFloatEpsilon);
  }
}

}  // namespace
}  // namespace polyphase::test
