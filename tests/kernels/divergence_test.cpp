// SPDX-License-Identifier: Apache-2.0
#include "kernels/divergence.hpp"

#include "kernels/combine.hpp"
#include "kernels/device.hpp"
#include "reference/row_kernels.hpp"

namespace polyphase::test {
namespace {

constexpr std::int64_t kPairs = 5, kRows = 12, kClasses = 37;  // two rows are no pair's
const std::vector<std::int32_t> kLabels{0, 36, -1, 4, 9, 0, 36, -1, 4, 9, -1, -1};
constexpr double kLimit = 4.0;

std::vector<double> log_softmax(const std::vector<double>& logits, std::int64_t m) {
  std::vector<double> row(logits.begin() + m * kClasses, logits.begin() + (m + 1) * kClasses);
  const double log_sum = reference::log_sum_exp(row);
  for (double& logit : row) logit -= log_sum;
  return row;
}

// KL(row p ‖ row q), class by class.
double divergence(const std::vector<double>& logits, std::int64_t p, std::int64_t q) {
  const std::vector<double> log_p = log_softmax(logits, p), log_q = log_softmax(logits, q);
  double total = 0.0;
  for (std::int64_t k = 0; k < kClasses; ++k) total += std::exp(log_p[k]) * (log_p[k] - log_q[k]);
  return total;
}

Tensor2<float> put_columns(Device& device, const std::vector<double>& logits, std::int64_t first,
                           std::int64_t width) {
  std::vector<double> part;
  for (std::int64_t m = 0; m < kRows; ++m) {
    const auto begin = logits.begin() + m * kClasses + first;
    part.insert(part.end(), begin, begin + width);
  }
  return device.put_real<float>(part, kRows, width);
}

SoftmaxPairs put_pairs(Device& device, const std::vector<double>& logits) {
  std::vector<double> log_sum;
  for (std::int64_t m = 0; m < kRows; ++m)
    log_sum.push_back(logits[m * kClasses] - log_softmax(logits, m)[0]);
  return {.num_pairs = kPairs,
          .log_sum_M = device.put_real<float>(log_sum),
          .labels_M = device.put(kLabels)};
}

// Terms below 2 · kLimit + log(kClasses), each with the exponential's and two roundings.
constexpr double kTerm = 12.0 * (2e-7 + 4 * kFloatEpsilon);

TEST(Divergence, BlocksOfColumnsAddUpToTheDefinition) {
  const std::vector<double> logits = random_reals(21, kRows * kClasses, -kLimit, kLimit);
  for (const std::vector<std::int64_t>& widths :
       {std::vector<std::int64_t>{37}, {16, 21}, {1, 30, 6}}) {
    Device device;
    const Tensor1<float> sums = device.put_real<float>(std::vector<double>(kRows, 0.0));
    std::int64_t first = 0;
    for (const std::int64_t width : widths) {
      divergence_add(device.exec(), sums, put_columns(device, logits, first, width),
                     put_pairs(device, logits));
      first += width;
    }
    const std::vector<double> result = device.get_real(sums);
    for (std::int64_t m = 0; m < kRows; ++m) {
      const bool counts = m < 2 * kPairs && kLabels[m] >= 0;
      const double expected = counts ? divergence(logits, m, (m + kPairs) % (2 * kPairs)) : 0.0;
      EXPECT_NEAR(result[m], expected, counts ? kTerm : 0.0) << m;
    }
  }
}

template <class Real>
void check_gradient(std::int64_t first, std::int64_t width) {
  Device device;
  constexpr double kScale = 0.25;
  std::vector<double> logits = random_reals(22, kRows * kClasses, -kLimit, kLimit);
  const std::vector<double> before = random_reals(23, kRows * width, -1.0, 1.0);
  std::vector<double> sums(kRows, 0.0), expected, error;
  for (std::int64_t m = 0; m < 2 * kPairs; ++m)
    sums[m] = divergence(logits, m, (m + kPairs) % (2 * kPairs));
  const Tensor2<Real> out = device.put_real<Real>(before, kRows, width);
  const std::vector<double> stored = device.get_real(out);
  divergence_gradient_add<Real>(device.exec(), out, put_columns(device, logits, first, width),
                                device.put_real<float>(sums), put_pairs(device, logits),
                                static_cast<float>(kScale));
  for (std::int64_t m = 0; m < kRows; ++m) {
    const std::int64_t partner = (m + kPairs) % (2 * kPairs);
    for (std::int64_t k = 0; k < width; ++k) {
      const bool counts = m < 2 * kPairs && kLabels[m] >= 0;
      const double slope =
          counts
              ? central_difference(
                    &logits[m * kClasses + first + k],
                    [&] { return divergence(logits, m, partner) + divergence(logits, partner, m); })
              : 0.0;
      expected.push_back(stored[m * width + k] + kScale * slope);
      error.push_back(counts ? kScale * (4 * kTerm + kDifferenceError) +
                                   std::abs(expected.back()) * kStoreError<Real>
                             : 0.0);
    }
  }
  expect_close("dlogits", device.get_real(out), expected, error);
}

TEST(Divergence, GradientEqualsCentralDifferences) {
  check_gradient<float>(0, kClasses);
  check_gradient<float>(16, 21);
  check_gradient<bf16>(0, kClasses);
}

TEST(Penalty, GradientIsTheSignAndTheValueAndNothingAtZero) {
  Device device;
  const std::vector<double> w{-2.0, 0.0, 0.5, -0.0}, before{1.0, 2.0, 3.0, 4.0};
  const Tensor1<float> dw = device.put_real<float>(before);
  add_penalty_gradient(device.exec(), dw, device.put_real<float>(w), 0.25F, 0.5F);
  EXPECT_EQ(device.get_real(dw), (std::vector<double>{-0.25, 2.0, 3.5, 4.0}));
}

TEST(Penalty, SumOfMagnitudesIsASumInFloat64) {
  for (const std::int64_t count : {0, 1, 17, 20000}) {
    Device device;
    const std::vector<double> x = random_reals(24, count);
    double expected = 0.0;
    for (const double value : x) expected += std::abs(value);
    EXPECT_NEAR(sum_of_magnitudes(device.exec(), device.put_real<float>(x)), expected,
                count * std::numeric_limits<double>::epsilon() * expected);
  }
}

}  // namespace
}  // namespace polyphase::test
