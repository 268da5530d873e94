// SPDX-License-Identifier: Apache-2.0
#include "kernels/elementwise.hpp"

#include "kernels/device.hpp"
#include "kernels/range_sums.hpp"

namespace polyphase::test {
namespace {

constexpr std::int64_t kCounts[] = {0, 1, 15, 17, 2048, 5001, 40000};

TEST(Elementwise, FillAddAndScaleActOnEveryElement) {
  for (const std::int64_t count : kCounts) {
    Device device;
    const std::vector<double> a = random_reals(1, count), b = random_reals(2, count);
    const auto x = device.put_real<float>(a), y = device.put_real<float>(b);
    add(device.exec(), y, x);
    scale(device.exec(), y, 0.5F);
    std::vector<double> expected;
    for (std::int64_t i = 0; i < count; ++i) expected.push_back((a[i] + b[i]) / 2);
    expect_close("y", device.get_real(y), expected, 4 * kFloatEpsilon);
    fill(device.exec(), x, 3.0F);
    EXPECT_EQ(device.get_real(x), std::vector<double>(count, 3.0));
  }
}

TEST(Elementwise, ConversionRoundsToNearestEven) {
  Device device;
  // 1 + 1/256 lies half-way between two bf16 and goes to the even one, as does 1 + 3/256; a little
  // more goes up.
  const std::vector<double> values{1.0 + 1.0 / 256,
                                   1.0 + 3.0 / 256,
                                   1.0 + 1.001 / 256,
                                   -1.0,
                                   3e38,
                                   std::numeric_limits<double>::infinity()};
  const auto narrow = device.arena().take1<bf16>(values.size());
  convert<bf16, float>(device.exec(), narrow, device.put_real<float>(values));
  EXPECT_EQ(device.get_real(narrow),
            (std::vector<double>{1.0, 1.0 + 4.0 / 256, 1.0 + 2.0 / 256, -1.0,
                                 to_float(from_float<bf16>(3e38F)), values[5]}));
  const auto nan = device.put_real<float>({std::numeric_limits<double>::quiet_NaN()});
  const auto narrow_nan = device.arena().take1<bf16>(1);
  convert<bf16, float>(device.exec(), narrow_nan, nan);
  EXPECT_TRUE(std::isnan(device.get_real(narrow_nan)[0]));
}

TEST(Elementwise, ConversionToFloatAndBackChangesNothing) {
  Device device;
  const std::vector<double> values = random_reals(3, 3001);
  const auto narrow = device.put_real<bf16>(values), back = device.arena().take1<bf16>(3001);
  const auto wide = device.arena().take1<float>(3001);
  convert<float, bf16>(device.exec(), wide, narrow);
  convert<bf16, float>(device.exec(), back, wide);
  EXPECT_EQ(device.get_real(wide), values);
  EXPECT_EQ(device.get_real(back), values);
}

template <class Real>
void check_column_sum(std::int64_t num_rows, std::int64_t num_columns, Write write) {
  Device device;
  const std::vector<double> x = random_reals(4, num_rows * num_columns);
  const double start = write == Write::kAccumulate ? 7.0 : 0.0;
  std::vector<double> sum(num_columns, start), error(num_columns, start);
  for (std::int64_t i = 0; i < num_rows * num_columns; ++i) {
    sum[i % num_columns] += x[i];
    error[i % num_columns] += std::abs(x[i]);
  }
  for (double& magnitude : error) magnitude *= kFloatEpsilon * (1 + num_rows);
  const auto y = device.put_real<float>(std::vector<double>(num_columns, 7.0));
  column_sum<Real>(device.exec(), y, write, device.put_real<Real>(x, num_rows, num_columns));
  expect_close("column sum", device.get_real(y), sum, error);
}

TEST(Elementwise, ColumnSumEqualsPlainLoops) {
  for (const std::int64_t num_rows : {0, 1, 31, 256, 257, 1000, 9000}) {
    check_column_sum<float>(num_rows, 37, Write::kOverwrite);
    check_column_sum<float>(num_rows, 130, Write::kAccumulate);
    check_column_sum<bf16>(num_rows, 64, Write::kAccumulate);
  }
}

TEST(Elementwise, ColumnSumsOfSeveralTensorsAreEachOnesOwn) {
  constexpr std::int64_t kColumns = 70;
  for (const std::int64_t num_rows : {31, 300, 9000}) {
    for (const std::size_t num_sums : {2U, 3U}) {
      Device device;
      const auto count = static_cast<std::int64_t>(num_sums) * num_rows;
      const Tensor2<const float> all =
          device.put_real<float>(random_reals(4, count * kColumns), count, kColumns);
      ColumnSums together;
      for (std::size_t i = 0; i < num_sums; ++i)
        together[i] = device.put_real<float>(std::vector<double>(kColumns, 7.0));
      column_sums<float>(device.exec(), together, Write::kAccumulate, all);
      for (std::size_t i = 0; i < num_sums; ++i) {
        const auto alone = device.put_real<float>(std::vector<double>(kColumns, 7.0));
        column_sum<float>(device.exec(), alone, Write::kAccumulate,
                          rows(all, static_cast<std::int64_t>(i) * num_rows, num_rows));
        EXPECT_EQ(device.get_real(together[i]), device.get_real(alone)) << num_rows;
      }
    }
  }
}

TEST(Elementwise, SumOfSquaresIsASumInFloat64) {
  for (const std::int64_t count : kCounts) {
    Device device;
    const std::vector<double> x = random_reals(5, count);
    double expected = 0.0;
    for (const double value : x) expected += value * value;
    EXPECT_NEAR(sum_of_squares(device.exec(), device.put_real<float>(x)), expected,
                count * std::numeric_limits<double>::epsilon() * expected);
  }
}

TEST(RangeSums, AreThoseOfEachRangeWhateverTheOthersAre) {
  Device device;
  const std::vector<double> x = random_reals(7, 70000);
  const auto on_device = device.put_real<float>(x);
  const std::vector<ElementRange> ranges = {{5, 6}, {40000, 70000}, {9, 9}, {0, 33000}};
  const std::vector<double> sums = sums_of_squares(device.exec(), on_device, ranges);
  ASSERT_EQ(sums.size(), ranges.size());
  for (std::size_t r = 0; r < ranges.size(); ++r) {
    double expected = 0.0;
    for (std::int64_t i = ranges[r].begin; i < ranges[r].end; ++i) expected += x[i] * x[i];
    EXPECT_NEAR(sums[r], expected,
                static_cast<double>(x.size()) * std::numeric_limits<double>::epsilon() * expected);
    EXPECT_EQ(sums_of_squares(device.exec(), on_device, {ranges[r]}), std::vector{sums[r]});
  }
}

TEST(Elementwise, OneBrokenElementAnywhereIsSeen) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const std::int64_t count : {1, 17, 20000}) {
    Device device;
    std::vector<double> x = random_reals(6, count);
    EXPECT_TRUE(all_finite(device.exec(), device.put_real<float>(x)));
    for (const double broken : {infinity, -infinity, std::numeric_limits<double>::quiet_NaN()}) {
      for (const std::int64_t at : {std::int64_t{0}, count / 2, count - 1}) {
        std::vector<double> y = x;
        y[at] = broken;
        EXPECT_FALSE(all_finite(device.exec(), device.put_real<float>(y)));
      }
    }
    x[0] = 3.4e38;
    EXPECT_TRUE(all_finite(device.exec(), device.put_real<float>(x)));
  }
}

TEST(Elementwise, NothingIsFinite) {
  Device device;
  EXPECT_TRUE(all_finite(device.exec(), device.put_real<float>({})));
}

// On devices copies go by way of buffers of 4 MiB, which are used again while work is under way.
TEST(CopyToDevice, TakesWhatTheHostHadAtTheCall) {
  constexpr std::int64_t kPieces = 13, kFloats = std::int64_t{1} << 18;
  Device device(std::size_t{16} << 20);
  std::vector<Tensor1<float>> copies;
  std::vector<float> piece(kFloats);
  for (std::int64_t i = 0; i < kPieces; ++i) {
    for (std::int64_t j = 0; j < kFloats; ++j) piece[j] = static_cast<float>(i * kFloats + j);
    copies.push_back(device.put(piece));
  }
  for (std::int64_t i = 0; i < kPieces; ++i) {
    std::vector<float> back(kFloats);
    copy_to_host(device.exec(), back.data(), Tensor1<const float>(copies[i]));
    for (std::int64_t j = 0; j < kFloats; ++j)
      ASSERT_EQ(back[j], static_cast<float>(i * kFloats + j)) << "piece " << i << ", float " << j;
  }
}

}  // namespace
}  // namespace polyphase::test
