// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout.hpp"

#include "kernels/device.hpp"
#include "reference/row_kernels.hpp"

namespace polyphase::test {
namespace {

constexpr std::uint64_t kKey = 0x1234567890ABCDEF;

// Dropout on a matrix of ones: the factors themselves.
template <class Real>
std::vector<double> factors(std::uint64_t key, float rate, const std::vector<std::uint64_t>& ids,
                            std::int64_t num_columns) {
  Device device;
  const std::int64_t num_rows = ids.size();
  const auto x = device.put_real<Real>(std::vector<double>(num_rows * num_columns, 1.0), num_rows,
                                       num_columns);
  dropout_apply<Real>(device.exec(), x, {key, rate, device.put(ids)});
  return device.get_real(x);
}

TEST(Dropout, KeepsWhatTheKeyedLanesSay) {
  const std::vector<std::uint64_t> ids{3, 1ULL << 40, 77};
  for (const int num_columns : {1, 7, 8, 127, 128, 129, 300}) {
    const std::vector<double> actual = factors<float>(kKey, 0.1F, ids, num_columns);
    for (std::size_t n = 0; n < ids.size(); ++n) {
      for (int c = 0; c < num_columns; ++c) {
        EXPECT_NEAR(actual[n * num_columns + c], reference::dropout_factor(kKey, 0.1F, ids[n], c),
                    2 * kFloatEpsilon)
            << "row " << n << ", column " << c << " of " << num_columns;
      }
    }
  }
}

TEST(Dropout, Bfloat16UsesTheSameMask) {
  const std::vector<std::uint64_t> ids{5, 6};
  const std::vector<double> wide = factors<float>(kKey, 0.25F, ids, 300);
  const std::vector<double> narrow = factors<bf16>(kKey, 0.25F, ids, 300);
  for (std::size_t i = 0; i < wide.size(); ++i) EXPECT_NEAR(narrow[i], wide[i], wide[i] / 256.0);
}

TEST(Dropout, MaskFollowsTheRowIdWhereverTheRowStands) {
  const std::vector<double> first = factors<float>(kKey, 0.5F, {10, 11, 12}, 200);
  const std::vector<double> second = factors<float>(kKey, 0.5F, {12, 40, 41, 10}, 200);
  const auto row = [](const std::vector<double>& x, int n) {
    return std::vector<double>(x.begin() + 200 * n, x.begin() + 200 * (n + 1));
  };
  EXPECT_EQ(row(first, 0), row(second, 3));
  EXPECT_EQ(row(first, 2), row(second, 0));
  EXPECT_NE(row(first, 0), row(first, 1));
}

TEST(Dropout, KeepsTheShareThatTheRateLeaves) {
  std::vector<std::uint64_t> ids(1000);
  for (std::size_t n = 0; n < ids.size(); ++n) ids[n] = n;
  for (const float rate : {0.1F, 0.5F, 0.9F}) {
    const std::vector<double> actual = factors<float>(kKey, rate, ids, 256);
    double num_kept = 0, mean = 0;
    for (const double factor : actual) {
      num_kept += factor != 0.0;
      mean += factor / actual.size();
    }
    // Five standard deviations of a binomial, and the rounding of the rate to 1/65536.
    const double share_error = 5.0 * std::sqrt(rate * (1.0 - rate) / actual.size()) + 1.0 / 65536;
    EXPECT_NEAR(num_kept / actual.size(), 1.0 - rate, share_error);
    EXPECT_NEAR(mean, 1.0, share_error / (1.0 - rate));
  }
}

TEST(Dropout, OtherKeysGiveOtherMasks) {
  const std::vector<double> a = factors<float>(kKey, 0.5F, {1, 2, 3, 4}, 1000);
  const std::vector<double> b = factors<float>(kKey + 1, 0.5F, {1, 2, 3, 4}, 1000);
  double num_equal = 0;
  for (std::size_t i = 0; i < a.size(); ++i) num_equal += a[i] == b[i];
  // Independent fair coins agree half of the time; five standard deviations.
  EXPECT_NEAR(num_equal / a.size(), 0.5, 5.0 * 0.5 / std::sqrt(a.size()));
}

TEST(Dropout, RateZeroChangesNothingAndNaNsStay) {
  Device device;
  const std::vector<double> values = random_reals(1, 64);
  const auto x = device.put_real<float>(values, 1, 64);
  dropout_apply<float>(device.exec(), x, {kKey, 0.0F, {}});
  EXPECT_EQ(device.get_real(x), values);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto broken = device.put_real<float>(std::vector<double>(64, nan), 1, 64);
  dropout_apply<float>(device.exec(), broken, {kKey, 0.5F, device.put<std::uint64_t>({1})});
  for (const double value : device.get_real(broken)) EXPECT_TRUE(std::isnan(value));
}

}  // namespace
}  // namespace polyphase::test
