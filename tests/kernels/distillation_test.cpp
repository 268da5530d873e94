// SPDX-License-Identifier: Apache-2.0
#include "kernels/distillation.hpp"

#include "kernels/device.hpp"
#include "reference/row_kernels.hpp"

namespace polyphase::test {
namespace {

constexpr std::int64_t kRows = 7, kClasses = 53;
constexpr double kLimit = 6.0;  // of logits
const std::vector<std::int32_t> kLabels{0, 52, -1, 5, 17, -1, 30};

std::vector<double> row_of(const std::vector<double>& x, std::int64_t m, double temperature) {
  std::vector<double> row(x.begin() + m * kClasses, x.begin() + (m + 1) * kClasses);
  for (double& value : row) value /= temperature;
  return row;
}

// Teacher's logarithms of shares against the student's, class by class.
double divergence(const std::vector<double>& student, const std::vector<double>& teacher) {
  const double z = reference::log_sum_exp(student), t = reference::log_sum_exp(teacher);
  double sum = 0;
  for (std::size_t k = 0; k < student.size(); ++k) {
    const double log_p = teacher[k] - t;
    sum += std::exp(log_p) * (log_p - (student[k] - z));
  }
  return sum;
}

Tensor2<float> block(Device& device, const std::vector<double>& x, std::int64_t first,
                     std::int64_t width) {
  std::vector<double> part;
  for (std::int64_t m = 0; m < kRows; ++m) {
    const auto begin = x.begin() + m * kClasses + first;
    part.insert(part.end(), begin, begin + width);
  }
  return device.put_real<float>(part, kRows, width);
}

TEST(Distillation, DivergenceOfAnyBlocksEqualsPlainLoops) {
  const std::vector<double> student = random_reals(21, kRows * kClasses, -kLimit, kLimit),
                            teacher = random_reals(22, kRows * kClasses, -kLimit, kLimit);
  for (const double temperature : {1.0, 2.0, 5.0}) {
    for (const std::vector<std::int64_t>& widths :
         std::vector<std::vector<std::int64_t>>{{53}, {1, 52}, {20, 16, 17}}) {
      Device device;
      Arena& arena = device.arena();
      const SoftStats stats = {arena.take1<float>(kRows), arena.take1<float>(kRows),
                               arena.take1<float>(kRows), arena.take1<float>(kRows),
                               arena.take1<float>(kRows)};
      soft_stats_begin(device.exec(), stats);
      std::int64_t first = 0;
      for (const std::int64_t width : widths) {
        soft_stats_add(device.exec(), stats, block(device, student, first, width),
                       block(device, teacher, first, width), static_cast<float>(temperature));
        first += width;
      }
      const auto z_max = device.get_real(stats.student_max_M);
      const auto z_sum = device.get_real(stats.student_sum_M);
      const auto t_max = device.get_real(stats.teacher_max_M);
      const auto t_sum = device.get_real(stats.teacher_sum_M);
      const auto difference = device.get_real(stats.difference_M);
      for (std::int64_t m = 0; m < kRows; ++m) {
        const double found = difference[m] / t_sum[m] - (t_max[m] + std::log(t_sum[m])) + z_max[m] +
                             std::log(z_sum[m]);
        // A mean of differences up to 2 · limit whose weights carry the exponential's 2e-7 and the
        // error of an argument below 2 · limit, and the errors of sums of positive terms.
        const double relative = 2e-7 + (2 * kLimit + kClasses / 8.0 + 8) * kFloatEpsilon;
        EXPECT_NEAR(found,
                    divergence(row_of(student, m, temperature), row_of(teacher, m, temperature)),
                    (4 * kLimit + 2) * relative);
      }
    }
  }
}

template <class Real>
void check_gradient() {
  Device device;
  constexpr double kTemperature = 2.0, kScale = 0.25;
  std::vector<double> student = random_reals(23, kRows * kClasses, -kLimit, kLimit);
  const std::vector<double> teacher = random_reals(24, kRows * kClasses, -kLimit, kLimit);
  const std::vector<double> there(kRows * kClasses, 0.5);  // what it is added to
  std::vector<double> z_log, t_log;
  for (std::int64_t m = 0; m < kRows; ++m) {
    z_log.push_back(reference::log_sum_exp(row_of(student, m, kTemperature)));
    t_log.push_back(reference::log_sum_exp(row_of(teacher, m, kTemperature)));
  }
  const Tensor2<Real> gradient = device.put_real<Real>(there, kRows, kClasses);
  soft_gradient_add<Real>(device.exec(), gradient, block(device, student, 0, kClasses),
                          block(device, teacher, 0, kClasses), device.put_real<float>(z_log),
                          device.put_real<float>(t_log), device.put(kLabels), kTemperature, kScale);
  const std::vector<double> found = device.get_real(gradient);
  for (std::int64_t m = 0; m < kRows; ++m) {
    for (std::int64_t k = 0; k < kClasses; ++k) {
      const std::size_t i = m * kClasses + k;
      // The derivative by a logit divided by the temperature is what the kernel adds.
      const double slope =
          kTemperature * central_difference(&student[i], [&] {
            return divergence(row_of(student, m, kTemperature), row_of(teacher, m, kTemperature));
          });
      const double expected = kLabels[m] < 0 ? 0.5 : 0.5 + kScale * slope;
      EXPECT_NEAR(found[i], expected,
                  2 * (2e-7 + (2 * kLimit + 8) * kFloatEpsilon) + kDifferenceError +
                      std::abs(expected) * kStoreError<Real>)
          << m << " " << k;
    }
  }
}

TEST(Distillation, GradientIsTheDifferenceOfDivergences) {
  check_gradient<float>();
  check_gradient<bf16>();
}

TEST(Distillation, SquaredDifferenceAndItsGradient) {
  Device device;
  const std::vector<double> x = random_reals(25, kRows * kClasses, -2.0, 2.0),
                            y = random_reals(26, kRows * kClasses, -2.0, 2.0);
  const std::int64_t rows = kRows - 2;  // the last two are padding
  const auto losses = device.arena().take1<float>(rows);
  const auto dx =
      device.put_real<float>(std::vector<double>(kRows * kClasses, 1.0), kRows, kClasses);
  squared_difference<float>(device.exec(), losses, dx, block(device, x, 0, kClasses),
                            block(device, y, 0, kClasses), 3.0F);
  const std::vector<double> found = device.get_real(losses), gradient = device.get_real(dx);
  for (std::int64_t m = 0; m < kRows; ++m) {
    double sum = 0;
    for (std::int64_t k = 0; k < kClasses; ++k) {
      const double difference = x[m * kClasses + k] - y[m * kClasses + k];
      sum += difference * difference / kClasses;
      const double slope = m < rows ? 3.0 * 2.0 * difference / kClasses : 0.0;
      EXPECT_NEAR(gradient[m * kClasses + k], 1.0 + slope, 8 * kFloatEpsilon);
    }
    if (m < rows) {
      EXPECT_NEAR(found[m], sum, (kClasses / 8.0 + 4) * kFloatEpsilon * sum);
    }
  }
}

}  // namespace
}  // namespace polyphase::test
