// SPDX-License-Identifier: Apache-2.0
#include "kernels/math.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace polyphase::test {
namespace {

// Every 64th float, of both signs, whose exponential is a normal number.
TEST(FastExpTest, RelativeErrorIsAtMostTwoInTenMillion) {
  double worst = 0.0;
  for (const float sign : {1.0F, -1.0F}) {
    for (std::uint32_t bits = 0; bits < 0x42B18000U; bits += 64) {
      float x;
      std::memcpy(&x, &bits, sizeof x);
      const double exact = std::exp(static_cast<double>(sign * x));
      if (exact < std::numeric_limits<float>::min() || exact > std::numeric_limits<float>::max())
        continue;
      worst = std::max(worst, std::abs(fast_exp(sign * x) / exact - 1.0));
    }
  }
  EXPECT_LE(worst, 2e-7);
}

TEST(FastExpTest, EndsOfTheRangeAreZeroInfinityAndNaN) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(fast_exp(0.0F), 1.0F);
  EXPECT_EQ(fast_exp(-0.0F), 1.0F);
  EXPECT_EQ(fast_exp(-88.0F), 0.0F);
  EXPECT_EQ(fast_exp(-kInfinity), 0.0F);
  EXPECT_EQ(fast_exp(89.0F), kInfinity);
  EXPECT_EQ(fast_exp(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(fast_exp(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace polyphase::test
