// SPDX-License-Identifier: Apache-2.0
#include "kernels/rows.hpp"

#include "kernels/device.hpp"
#include "kernels/for_rows.hpp"

namespace polyphase::test {
namespace {

constexpr std::int64_t kRows = 23, kWidth = 70;
const std::vector<std::int32_t> kPicked{5, -1, 0, 22, 7};
const std::vector<std::int32_t> kStarts{0, 3, 3, 4,
                                        20};  // one sequence is empty; three rows are padding

template <class Real>
void check_gather() {
  Device device;
  const auto x = random_reals(1, kRows * kWidth);
  std::vector<double> expected;
  for (const std::int32_t n : kPicked) {
    for (std::int64_t c = 0; c < kWidth; ++c) expected.push_back(n < 0 ? 0.0 : x[n * kWidth + c]);
  }
  const auto y = device.arena().take2<Real>(kPicked.size(), kWidth);
  gather_rows<Real>(device.exec(), y, device.put_real<Real>(x, kRows, kWidth), device.put(kPicked));
  EXPECT_EQ(device.get_real(y), expected);
}

TEST(Rows, GatherTakesTheListedRows) {
  check_gather<float>();
  check_gather<bf16>();
}

TEST(Rows, ScatterAddsToTheListedRows) {
  Device device;
  std::vector<double> expected = random_reals(1, kRows * kWidth);
  const auto dy = random_reals(2, kPicked.size() * kWidth);
  const auto dx = device.put_real<float>(expected, kRows, kWidth);
  for (std::size_t i = 0; i < dy.size(); ++i) {
    const std::int32_t n = kPicked[i / kWidth];
    if (n >= 0) expected[n * kWidth + i % kWidth] += dy[i];
  }
  scatter_rows(device.exec(), dx, device.put_real<float>(dy, kPicked.size(), kWidth),
               device.put(kPicked));
  expect_close("dx", device.get_real(dx), expected, 4 * kFloatEpsilon);
}

template <class Real>
void check_mean() {
  Device device;
  const auto x = random_reals(1, kRows * kWidth);
  const std::int64_t num_sequences = kStarts.size() - 1;
  std::vector<double> expected(num_sequences * kWidth, 0.0), error;
  for (std::int64_t b = 0; b < num_sequences; ++b) {
    for (std::int64_t n = kStarts[b]; n < kStarts[b + 1]; ++n) {
      for (std::int64_t c = 0; c < kWidth; ++c) {
        expected[b * kWidth + c] += x[n * kWidth + c] / (kStarts[b + 1] - kStarts[b]);
      }
    }
  }
  for (const double value : expected) {
    error.push_back(2.0 * kRows * kFloatEpsilon + std::abs(value) * kStoreError<Real>);
  }
  const auto y = device.arena().take2<Real>(num_sequences, kWidth);
  mean_rows<Real>(device.exec(), y, device.put_real<Real>(x, kRows, kWidth), device.put(kStarts));
  expect_close("y", device.get_real(y), expected, error);
}

TEST(Rows, MeanIsTakenOverEachSequence) {
  check_mean<float>();
  check_mean<bf16>();
}

TEST(Rows, MeanBackwardSharesTheGradientAmongTheRows) {
  Device device;
  std::vector<double> expected = random_reals(1, kRows * kWidth);
  const std::int64_t num_sequences = kStarts.size() - 1;
  const auto dy = random_reals(2, num_sequences * kWidth);
  const auto dx = device.put_real<float>(expected, kRows, kWidth);
  for (std::int64_t b = 0; b < num_sequences; ++b) {
    for (std::int64_t n = kStarts[b]; n < kStarts[b + 1]; ++n) {
      for (std::int64_t c = 0; c < kWidth; ++c) {
        expected[n * kWidth + c] += dy[b * kWidth + c] / (kStarts[b + 1] - kStarts[b]);
      }
    }
  }
  mean_rows_backward(device.exec(), dx, device.put_real<float>(dy, num_sequences, kWidth),
                     device.put(kStarts));
  expect_close("dx", device.get_real(dx), expected, 4 * kFloatEpsilon);
}

TEST(Rows, CountingDoesNothing) {
  Arena counting;
  gather_rows<float>({Space(), &counting}, Tensor2<float>(nullptr, 5, 5),
                     Tensor2<const float>(nullptr, 5, 5), Tensor1<const std::int32_t>(nullptr, 5));
  EXPECT_EQ(counting.peak_bytes(), 0U);
}

// The launch helper itself: what a row's reductions give, for counts around the width of a vector.
void reduce_row(Device& device, const std::vector<double>& values, Tensor1<float> out) {
  const Tensor1<const float> x = device.put_real<float>(values);
  const std::int64_t count = values.size();
  for_rows(
      device.exec(), 1, KOKKOS_LAMBDA(const Row& row) {
        out(0) = row.sum(count, [&](std::int64_t c) { return x(c); });
        out(1) = row.max(count, [&](std::int64_t c) { return x(c); });
        out(2) = row.first(count, [&](std::int64_t c) { return x(c) > 1.0F; });
        const Pair pair = row.sum_pair(count, [&](std::int64_t c) { return Pair{x(c), -x(c)}; });
        out(3) = pair.first + pair.second;
        out(4) = static_cast<float>(row.sum<double>(count, [&](std::int64_t) { return 0.5; }));
      });
}

TEST(Rows, ReductionsOfARowEqualPlainLoops) {
  for (const std::int64_t count : {0, 1, 15, 16, 17, 100}) {
    Device device;
    const auto out = device.arena().take1<float>(5);
    const std::vector<double> values = random_reals(9, count);
    reduce_row(device, values, out);
    double sum = 0.0, largest = -std::numeric_limits<double>::infinity();
    std::int64_t first = count;
    for (std::int64_t i = count - 1; i >= 0; --i) {
      sum += values[i];
      largest = std::max(largest, values[i]);
      if (values[i] > 1.0) first = i;
    }
    const std::vector<double> actual = device.get_real(out);
    EXPECT_NEAR(actual[0], sum, count * kFloatEpsilon * 2.0 * count);
    EXPECT_EQ(actual[1], largest);
    EXPECT_EQ(actual[2], first);
    EXPECT_EQ(actual[3], 0.0);
    EXPECT_EQ(actual[4], 0.5 * count);
  }
}

}  // namespace
}  // namespace polyphase::test
