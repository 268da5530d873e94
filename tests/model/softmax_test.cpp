// SPDX-License-Identifier: Apache-2.0
#include "objective/softmax.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "comm/session.hpp"
#include "kernels/device.hpp"
#include "model/reference_run.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kRows = 7, kClasses = 41;
const std::vector<std::int32_t> kLabels = {0, 40, -1, 17, 23, -1, 8};

double logit(std::int64_t m, std::int64_t k) { return 3.0 * std::sin(1.3 * m + 0.71 * k); }

// The loss from its definition: the cross-entropy with (1 - s) · onehot + s / K, class by class.
double exact_nats(const SoftmaxLoss& loss) {
  double nats = 0.0;
  for (std::int64_t m = 0; m < kRows; ++m) {
    if (kLabels[m] < 0) continue;
    double sum = 0.0;
    for (std::int64_t k = 0; k < kClasses; ++k) sum += std::exp(logit(m, k));
    double row = 0.0;
    for (std::int64_t k = 0; k < kClasses; ++k) {
      const double target =
          loss.label_smoothing / kClasses + (k == kLabels[m] ? 1.0 - loss.label_smoothing : 0.0);
      row += target * (std::log(sum) - logit(m, k));
    }
    nats += row * (loss.class_weights.empty() ? 1.0 : loss.class_weights[kLabels[m]]);
  }
  return nats;
}

// This rank's part of the classes, as one block of logits.
SoftmaxOutcome split_softmax(const Exec& exec, const Communicator& tensor,
                             const SoftmaxLoss& loss) {
  const Split part = split_evenly(kClasses, tensor.rank(), tensor.size());
  std::vector<float> logits;
  for (std::int64_t m = 0; m < kRows; ++m) {
    for (std::int64_t k = part.begin; k < part.begin + part.size; ++k)
      logits.push_back(static_cast<float>(logit(m, k)));
  }
  const Tensor2<const float> logits_MK(upload(exec, logits).data(), kRows, part.size);
  const SoftmaxStats stats = begin_softmax(exec, kRows, loss);
  softmax_stats_add(exec, stats, logits_MK, upload(exec, kLabels), part.begin);
  return finish_softmax(exec, stats, kLabels, &tensor, loss, kClasses);
}

TEST(Softmax, LossOfASplitVocabularyIsThatOfTheDefinition) {
  std::vector<float> weights;
  for (std::int64_t k = 0; k < kClasses; ++k)
    weights.push_back(0.5F + 0.1F * static_cast<float>(k));
  test::Device device(1 << 16);
  const RankGrid grid = make_grid(*test_world, test_world->size());
  for (const SoftmaxLoss& loss :
       {SoftmaxLoss{}, SoftmaxLoss{.label_smoothing = 0.1F}, SoftmaxLoss{.class_weights = weights},
        SoftmaxLoss{.label_smoothing = 0.25F, .class_weights = weights}}) {
    const ArenaScope scope(device.arena());
    const SoftmaxOutcome outcome = split_softmax(device.exec(), grid.tensor, loss);
    // Each row: the logits' rounding, an exponential's 2e-7, and sums of 41 terms below 3, times a
    // weight below 5.
    const double per_row =
        5.0 * (2e-7 + 3.0 * (8.0 + kClasses) * std::numeric_limits<float>::epsilon());
    EXPECT_NEAR(outcome.nats, exact_nats(loss), 5 * per_row);
    EXPECT_EQ(outcome.num_terms, 5);
    EXPECT_EQ(outcome.target.row_weight_M.extent(0),
              loss.class_weights.empty() ? 0U : static_cast<std::size_t>(kRows));
  }
}

}  // namespace
}  // namespace polyphase
