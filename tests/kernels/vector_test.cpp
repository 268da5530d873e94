// SPDX-License-Identifier: Apache-2.0
#include "kernels/vector.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace polyphase::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Every 64th float, of both signs, whose power of two is a normal number.
TEST(VectorTest, PowersOfTwoAreWrongByAtMostTwoInTenMillion) {
  double worst = 0.0;
  for (const float sign : {1.0F, -1.0F}) {
    for (std::uint32_t bits = 0; bits < 0x42FC0000U; bits += 64 * tile::kLanes) {
      float x[tile::kLanes], y[tile::kLanes];
      for (int i = 0; i < tile::kLanes; ++i) {
        const std::uint32_t lane = bits + 64 * i;
        std::memcpy(&x[i], &lane, sizeof lane);
        x[i] *= sign;
      }
      tile::store(y, tile::exp2(tile::load(x)));
      for (int i = 0; i < tile::kLanes; ++i)
        worst = std::max(worst, std::abs(y[i] / std::exp2(static_cast<double>(x[i])) - 1.0));
    }
  }
  EXPECT_LE(worst, 2e-7);
}

TEST(VectorTest, EndsOfPowersOfTwoAreZeroInfinityAndNaN) {
  const auto exp2 = [](float x) { return tile::exp2(tile::spread(x))[0]; };
  EXPECT_EQ(exp2(0.0F), 1.0F);
  EXPECT_EQ(exp2(-0.0F), 1.0F);
  EXPECT_EQ(exp2(-200.0F), 0.0F);
  EXPECT_EQ(exp2(-1e30F), 0.0F);
  EXPECT_EQ(exp2(-kInfinity), 0.0F);
  EXPECT_EQ(exp2(129.0F), kInfinity);
  EXPECT_EQ(exp2(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(exp2(std::numeric_limits<float>::quiet_NaN())));
}

TEST(VectorTest, ReciprocalsAreWrongByAtMostOneAndAHalfInTenMillion) {
  double worst = 0.0;
  for (float x = 1e-30F; x < 1e30F; x *= 1.00037F) {
    for (const float value : {x, -x}) {
      const double product = double{tile::reciprocal(tile::spread(value))[0]} * value;
      worst = std::max(worst, std::abs(product - 1.0));
    }
  }
  EXPECT_LE(worst, 1.5e-7);
  EXPECT_TRUE(std::isnan(tile::reciprocal(tile::spread(std::nanf("")))[0]));
}

// The bits that from_float gives, for ties, both infinities and NaNs; pairs have the even row
// below.
TEST(VectorTest, RoundsToBf16AsFromFloat) {
  std::uint32_t state = 1;
  for (int round = 0; round < 20000; ++round) {
    float x[2][tile::kLanes];
    bf16 halves[tile::kLanes];
    std::uint32_t words[tile::kLanes];
    for (auto& row : x) {
      for (float& value : row) {
        state = state * 1664525U + 1013904223U;
        const std::uint32_t bits = round % 2 == 0 ? state : state & 0xFFFF8000U;
        std::memcpy(&value, &bits, sizeof bits);
        if (std::fpclassify(value) == FP_SUBNORMAL) value = round % 3 == 0 ? kInfinity : -0.0F;
      }
    }
    tile::store(halves, tile::load(x[0]));
    tile::store(words, tile::paired(tile::load(x[0]), tile::load(x[1])));
    for (int i = 0; i < tile::kLanes; ++i) {
      const std::uint32_t even = from_float<bf16>(x[0][i]).bits,
                          odd = from_float<bf16>(x[1][i]).bits;
      ASSERT_EQ(halves[i].bits, even) << x[0][i];
      ASSERT_EQ(words[i], even | odd << 16) << x[0][i] << " " << x[1][i];
    }
  }
}

}  // namespace
}  // namespace polyphase::test
