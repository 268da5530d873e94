// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy.hpp"

#include <algorithm>

#include "kernels/device.hpp"
#include "reference/row_kernels.hpp"

namespace polyphase::test {
namespace {

struct Host {
  std::vector<double> max, sum, label_logit;
  std::vector<std::int32_t> best;
  std::vector<double> logit_sum;
};

// Columns [first, first + width) of a matrix with num_classes columns.
std::vector<double> columns(const std::vector<double>& x, std::int64_t num_classes,
                            std::int64_t first, std::int64_t width) {
  std::vector<double> part;
  for (std::size_t row = 0; row < x.size() / num_classes; ++row) {
    const auto begin = x.begin() + row * num_classes + first;
    part.insert(part.end(), begin, begin + width);
  }
  return part;
}

// Statistics after classes [first, …) were taken in blocks of the given widths.
Host stats_of(const std::vector<double>& logits, const std::vector<std::int32_t>& labels,
              std::int64_t num_classes, std::int64_t first,
              const std::vector<std::int64_t>& widths) {
  Device device;
  const std::int64_t num_rows = labels.size();
  Arena& arena = device.arena();
  const SoftmaxStats stats{arena.take1<float>(num_rows), arena.take1<float>(num_rows),
                           arena.take1<float>(num_rows), arena.take1<std::int32_t>(num_rows),
                           arena.take1<float>(num_rows)};
  softmax_stats_begin(device.exec(), stats);
  for (const std::int64_t width : widths) {
    softmax_stats_add(
        device.exec(), stats,
        device.put_real<float>(columns(logits, num_classes, first, width), num_rows, width),
        device.put(labels), first);
    first += width;
  }
  return {device.get_real(stats.max_M), device.get_real(stats.sum_M),
          device.get_real(stats.label_logit_M), device.get(stats.best_M),
          device.get_real(stats.logit_sum_M)};
}

constexpr std::int64_t kRows = 9, kClasses = 137;
const std::vector<std::int32_t> kLabels{0, 136, 5, -1, 70, 64, 63, 99, -1};

std::vector<double> test_logits() { return random_reals(11, kRows * kClasses, -20.0, 20.0); }

TEST(CrossEntropy, StatisticsOfAnyBlocksEqualPlainLoops) {
  const std::vector<double> logits = test_logits();
  const std::vector<std::vector<std::int64_t>> splits{{137}, {64, 73}, {1, 16, 120}, {100, 36, 1}};
  for (const auto& widths : splits) {
    const Host host = stats_of(logits, kLabels, kClasses, 0, widths);
    for (std::int64_t m = 0; m < kRows; ++m) {
      const std::vector<double> row(logits.begin() + m * kClasses,
                                    logits.begin() + (m + 1) * kClasses);
      const auto largest = std::max_element(row.begin(), row.end());
      EXPECT_EQ(host.max[m], *largest);
      EXPECT_EQ(host.best[m], largest - row.begin());
      EXPECT_EQ(host.label_logit[m], kLabels[m] < 0 ? 0.0 : row[kLabels[m]]);
      // Each term has the exponential's 2e-7 and the error of a difference below 40; sums of
      // positive terms add theirs.
      const double relative = 2e-7 + 40 * kFloatEpsilon + (kClasses / 16.0 + 8) * kFloatEpsilon;
      EXPECT_NEAR(host.max[m] + std::log(host.sum[m]), reference::log_sum_exp(row), relative);
      double total = 0.0, magnitude = 0.0;
      for (const double logit : row) total += logit, magnitude += std::abs(logit);
      EXPECT_NEAR(host.logit_sum[m], total, kClasses * kFloatEpsilon * magnitude);
    }
  }
}

TEST(CrossEntropy, BestClassIsTheLowestOfEquals) {
  std::vector<double> logits(40, 1.0);
  logits[7] = logits[9] = logits[30] = 2.0;
  EXPECT_EQ(stats_of(logits, {0}, 40, 0, {40}).best[0], 7);
  EXPECT_EQ(stats_of(logits, {0}, 40, 0, {8, 32}).best[0], 7);
  EXPECT_EQ(stats_of(logits, {0}, 40, 8, {20, 12}).best[0], 9);
  EXPECT_EQ(stats_of(std::vector<double>(40, 1.0), {0}, 40, 0, {10, 30}).best[0], 0);
}

TEST(CrossEntropy, LabelOfAnotherPartAddsNoLogit) {
  const std::vector<double> logits = test_logits();
  const Host part = stats_of(logits, kLabels, kClasses, 64, {73});
  for (std::int64_t m = 0; m < kRows; ++m) {
    const bool here = kLabels[m] >= 64;
    EXPECT_EQ(part.label_logit[m], here ? logits[m * kClasses + kLabels[m]] : 0.0);
  }
}

TEST(CrossEntropy, ForbiddenClassesCountNothingAndNaNsReachTheSum) {
  const double infinity = std::numeric_limits<double>::infinity();
  std::vector<double> logits(20, -infinity);
  logits[15] = 3.0;
  const Host host = stats_of(logits, {15}, 20, 0, {10, 10});
  EXPECT_EQ(host.sum[0], 1.0);
  EXPECT_EQ(host.best[0], 15);
  logits[2] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(stats_of(logits, {15}, 20, 0, {10, 10}).sum[0]));
}

// The cross-entropy of one row with its smoothed label, summed over classes one by one.
double loss(const std::vector<double>& row, std::int32_t label, double smoothing) {
  if (label < 0) return 0.0;
  const double log_sum = reference::log_sum_exp(row), num_classes = static_cast<double>(row.size());
  double total = 0.0;
  for (std::size_t k = 0; k < row.size(); ++k) {
    const double hard = static_cast<std::int32_t>(k) == label ? 1.0 - smoothing : 0.0;
    total += (hard + smoothing / num_classes) * (log_sum - row[k]);
  }
  return total;
}

template <class Real>
void check_gradient(std::int64_t first, std::int64_t width, double limit, float smoothing = 0.0F,
                    bool weighted = false) {
  Device device;
  constexpr float kScale = 0.125F;
  const std::vector<double> logits = random_reals(12, kRows * kClasses, -limit, limit);
  std::vector<double> gradient, error, log_sum;
  const std::vector<double> weights =
      weighted ? random_reals(13, kRows, 0.25, 4.0) : std::vector<double>(kRows, 1.0);
  for (std::int64_t m = 0; m < kRows; ++m) {
    std::vector<double> row(logits.begin() + m * kClasses, logits.begin() + (m + 1) * kClasses);
    log_sum.push_back(to_float(static_cast<float>(reference::log_sum_exp(row))));
    for (std::int64_t k = first; k < first + width; ++k) {
      gradient.push_back(kScale * weights[m] * central_difference(&row[k], [&] {
                           return loss(row, kLabels[m], smoothing);
                         }));
      error.push_back(kScale * weights[m] * (2e-7 + (3 * limit + 6) * kFloatEpsilon) +
                      kDifferenceError + std::abs(gradient.back()) * kStoreError<Real>);
    }
  }
  const auto block = device.put_real<float>(columns(logits, kClasses, first, width), kRows, width);
  // In place where the types allow it.
  Tensor2<Real> out = device.arena().take2<Real>(kRows, width);
  if constexpr (sizeof(Real) == sizeof(float)) out = block;
  softmax_gradient<Real>(
      device.exec(), out, block, device.put_real<float>(log_sum), device.put(kLabels), kScale,
      first,
      {.label_smoothing = smoothing,
       .num_classes = kClasses,
       .row_weight_M = weighted ? device.put_real<float>(weights) : Tensor1<float>()});
  expect_close("dlogits", device.get_real(out), gradient, error);
}

TEST(CrossEntropy, GradientEqualsCentralDifferences) {
  check_gradient<float>(0, kClasses, 4.0);
  check_gradient<float>(64, 73, 4.0);
  check_gradient<bf16>(0, 64, 4.0);
}

TEST(CrossEntropy, GradientOfSmoothedLabelsAndWeightedRowsEqualsCentralDifferences) {
  check_gradient<float>(0, kClasses, 4.0, 0.1F);
  check_gradient<float>(64, 73, 4.0, 0.3F, true);
  check_gradient<bf16>(0, 64, 4.0, 0.1F, true);
  check_gradient<float>(0, kClasses, 4.0, 0.0F, true);
}

TEST(CrossEntropy, NoRowsAreNoWork) {
  const Host host = stats_of({}, {}, 1, 0, {});
  EXPECT_TRUE(host.sum.empty());
}

}  // namespace
}  // namespace polyphase::test
