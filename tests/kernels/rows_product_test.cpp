// SPDX-License-Identifier: Apache-2.0
#include "kernels/rows_product.hpp"

#include "kernels/device.hpp"

namespace polyphase::test {
namespace {

struct RowsCase {
  std::int64_t m, n, k;
  Write write = Write::kOverwrite;
  const char* what = "";
};

std::vector<double> run(const RowsCase& c, int num_threads) {
  Device device;
  const Tensor2<const float> a = device.put_real<float>(random_reals(1, c.k * c.m), c.k, c.m);
  const Tensor2<const float> b = device.put_real<float>(random_reals(2, c.k * c.n), c.k, c.n);
  const auto y = device.put_real<float>(random_reals(3, c.m * c.n), c.m, c.n);
  tile::multiply_rows(device.exec(), y, a, b, c.write, num_threads);
  return device.get_real(y);
}

class RowsProductTest : public testing::TestWithParam<RowsCase> {};

TEST_P(RowsProductTest, AgreesWithPlainLoops) {
  const RowsCase& c = GetParam();
  const auto a = random_reals(1, c.k * c.m), b = random_reals(2, c.k * c.n),
             before = random_reals(3, c.m * c.n);
  std::vector<double> expected, error;
  for (std::int64_t i = 0; i < c.m; ++i) {
    for (std::int64_t j = 0; j < c.n; ++j) {
      double sum = c.write == Write::kAccumulate ? before[i * c.n + j] : 0.0;
      double terms = std::abs(sum);
      for (std::int64_t k = 0; k < c.k; ++k) {
        sum += a[k * c.m + i] * b[k * c.n + j];
        terms += std::abs(a[k * c.m + i] * b[k * c.n + j]);
      }
      expected.push_back(sum);
      error.push_back(static_cast<double>(c.k + 2) * kFloatEpsilon * terms);
    }
  }
  expect_close("y", run(c, 2), expected, error);
}

TEST_P(RowsProductTest, HasTheSameBitsOnAnyNumberOfThreads) {
  const std::vector<double> alone = run(GetParam(), 1);
  for (const int num_threads : {2, 3, 4, 6, 16}) {
    EXPECT_EQ(run(GetParam(), num_threads), alone) << num_threads << " threads";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, RowsProductTest,
    testing::Values(RowsCase{48, 64, 32, Write::kOverwrite, "OneBlock"},
                    RowsCase{131, 64, 20, Write::kOverwrite, "RowsThatFillNoPanel"},
                    RowsCase{1, 32, 3, Write::kAccumulate, "OneRow"},
                    RowsCase{7, 1088, 40, Write::kOverwrite, "SeveralBlocksOfColumns"},
                    RowsCase{400, 32, 17, Write::kAccumulate, "SeveralBlocksOfRows"},
                    RowsCase{20, 32, 777, Write::kOverwrite, "SeveralBlocksOfDepth"},
                    RowsCase{20, 32, 513, Write::kAccumulate, "OntoWhatWasThere"},
                    RowsCase{250, 576, 300, Write::kAccumulate, "SeveralOfAll"}),
    [](const auto& info) { return info.param.what; });

TEST(RowsProduct, TakesWholeTilesOfColumns) {
  EXPECT_TRUE(tile::takes_columns(64));
  EXPECT_FALSE(tile::takes_columns(72));
}

}  // namespace
}  // namespace polyphase::test
