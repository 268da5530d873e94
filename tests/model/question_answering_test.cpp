// SPDX-License-Identifier: Apache-2.0
#include "objective/question_answering.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "model/head_run.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kHeadWidth = HeadRun::kWidth;
const std::vector<std::int32_t> kLengths = {7, 5, 9};
constexpr std::int32_t kFirstText = 3;

float taught(std::int64_t row, int column) {
  return static_cast<float>(2.0 * std::sin(0.8 * static_cast<double>(2 * row + column)));
}

// Answers in two sequences, none in the second.
struct SpanRun : HeadRun {
  explicit SpanRun(const SoftTargets& teacher = {})
      : HeadRun(
            kLengths,
            [&](ParameterSet& parameters, const Communicator& tensor, const recipe::Model& model) {
              auto head = std::make_unique<QuestionAnswering<float>>(parameters, tensor, model);
              if (teacher.logits) head->learn_from(teacher);
              return head;
            },
            kFirstText) {
    batch.answer_first_B = {3, 7, 16};
    batch.answer_last_B = {5, 7, 18};
  }

  double logit(std::int64_t row, int column) {
    const std::vector<double> weight = copy("head.question_answering.weight");
    double y = copy("head.question_answering.bias")[column];
    for (std::int64_t c = 0; c < kHeadWidth; ++c)
      y += weight[column * kHeadWidth + c] * hidden[row * kHeadWidth + c];
    return y;
  }
};

double log_sum(const std::vector<double>& x) {
  double sum = 0.0;
  for (const double value : x) sum += std::exp(value);
  return std::log(sum);
}

// The mean over both ends of (1 - w) · cross-entropy + w · T² · KL(teacher ‖ student) over the rows
// that an answer may begin or end in: the first, and the second text but for its last.
TEST(QuestionAnswering, TeachersEndsAreLearntAtTheTemperature) {
  for (const float temperature : {1.0F, 3.0F}) {
    constexpr float kWeight = 0.625F;
    const SoftTargets teacher = {.logits =
                                     [](Tensor2<float> y_N2, std::int64_t) {
                                       std::vector<float> y;
                                       for (std::size_t n = 0; n < y_N2.extent(0); ++n)
                                         for (int end : {0, 1}) y.push_back(taught(n, end));
                                       test::write_tensor(flat(y_N2), y);
                                     },
                                 .temperature = temperature,
                                 .weight = kWeight,
                                 .chain = {}};
    SpanRun run(teacher);
    double hard = 0.0, soft = 0.0;
    for (std::size_t b = 0; b < kLengths.size(); ++b) {
      std::vector<std::int32_t> rows = {run.batch.starts[b]};
      for (std::int32_t row = rows[0] + kFirstText; row + 1 < run.batch.starts[b + 1]; ++row)
        rows.push_back(row);
      for (const int column : {0, 1}) {
        const std::int32_t label =
            column == 0 ? run.batch.answer_first_B[b] : run.batch.answer_last_B[b];
        std::vector<double> z, z_soft, t_soft;
        for (const std::int32_t row : rows) {
          z.push_back(run.logit(row, column));
          z_soft.push_back(z.back() / temperature);
          t_soft.push_back(double{taught(row, column)} / temperature);
        }
        hard += 0.5 * (log_sum(z) - run.logit(label, column));
        for (std::size_t i = 0; i < rows.size(); ++i) {
          const double log_p = t_soft[i] - log_sum(t_soft), log_q = z_soft[i] - log_sum(z_soft);
          soft += 0.5 * std::exp(log_p) * (log_p - log_q);
        }
      }
    }
    const double square = static_cast<double>(temperature) * temperature;
    EXPECT_NEAR(run.run(true, 0.0F).nats, (1.0 - kWeight) * hard + kWeight * square * soft,
                square * 6 * 5e-6);
    EXPECT_NEAR(run.run(false, 0.0F).nats, hard, 6 * 5e-6);  // evaluations know no teacher
    const std::vector<float> before = run.hidden;
    run.run(true, 1.0F);
    const std::vector<float> slope = run.dhidden;
    for (std::size_t i = 0; i < before.size(); ++i) {
      constexpr double kStep = 1.0 / 256;
      run.hidden[i] = static_cast<float>(before[i] + kStep);
      const double above = run.run(true, 0.0F).nats;
      run.hidden[i] = static_cast<float>(before[i] - kStep);
      const double below = run.run(true, 0.0F).nats;
      run.hidden[i] = before[i];
      EXPECT_NEAR(slope[i], (above - below) / (2 * kStep), square * 1e-3) << i;
    }
  }
}

}  // namespace
}  // namespace polyphase
