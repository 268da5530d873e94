// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy.hpp"

#include <limits>

#include "kernels/for_rows.hpp"
#include "kernels/math.hpp"
#include "kernels/work.hpp"

namespace polyphase {

void softmax_stats_begin(const Exec& exec, const SoftmaxStats& stats) {
  const KernelRegion region("softmax_stats_begin");
  const SoftmaxStats to = stats;
  const bool with_logit_sum = stats.logit_sum_M.extent(0) != 0;
  for_elements(
      exec, stats.max_M.extent(0), KOKKOS_LAMBDA(std::int64_t m) {
        to.max_M.data()[m] = -std::numeric_limits<float>::infinity();
        to.sum_M.data()[m] = 0.0F;
        to.label_logit_M.data()[m] = 0.0F;
        to.best_M.data()[m] = 0;
        if (with_logit_sum) to.logit_sum_M.data()[m] = 0.0F;
      });
}

void softmax_stats_add(const Exec& exec, const SoftmaxStats& stats, Tensor2<const float> logits_MK,
                       Tensor1<const std::int32_t> labels_M, std::int64_t first_class) {
  const KernelRegion region("softmax_stats_add");
  note_moved(exec, logits_MK);
  const SoftmaxStats to = stats;
  const bool with_logit_sum = stats.logit_sum_M.extent(0) != 0;
  const std::int64_t num_classes = logits_MK.extent(1);
  for_rows(
      exec, logits_MK.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t m = row.index();
        const float* logits = row_data(logits_MK, m);
        // Read before the first sum, which all lanes end together, and written by all of them
        // alike.
        const float old_max = to.max_M(m), old_sum = to.sum_M(m);
        const float old_logit_sum = with_logit_sum ? to.logit_sum_M(m) : 0.0F;
        const float block_max = row.max(num_classes, [=](std::int64_t k) { return logits[k]; });
        const float new_max = block_max > old_max ? block_max : old_max;
        if (block_max > old_max) {
          const std::int32_t best =
              row.first(num_classes, [=](std::int64_t k) { return logits[k] == block_max; });
          to.best_M(m) = static_cast<std::int32_t>(first_class) + best;
        }
        // Where every logit is minus infinity, differences to the largest would be NaN.
        const float origin = new_max == -std::numeric_limits<float>::infinity() ? 0.0F : new_max;
        const float block_sum =
            row.sum(num_classes, [=](std::int64_t k) { return fast_exp(logits[k] - origin); });
        to.sum_M(m) = old_sum * fast_exp(old_max - origin) + block_sum;
        to.max_M(m) = new_max;
        const std::int64_t label = labels_M(m) - first_class;
        if (labels_M(m) >= 0 && label >= 0 && label < num_classes) {
          to.label_logit_M(m) = logits[label];
        }
        if (with_logit_sum) {
          to.logit_sum_M(m) =
              old_logit_sum + row.sum(num_classes, [=](std::int64_t k) { return logits[k]; });
        }
      });
}

template <class Real>
void softmax_gradient(const Exec& exec, Tensor2<Real> dlogits_MK, Tensor2<const float> logits_MK,
                      Tensor1<const float> log_sum_M, Tensor1<const std::int32_t> labels_M,
                      float scale, std::int64_t first_class, const SoftmaxTarget& target) {
  const KernelRegion region("softmax_gradient");
  note_moved(exec, dlogits_MK, logits_MK);
  const std::int64_t num_classes = logits_MK.extent(1);
  const Tensor1<const float> row_weight_M = target.row_weight_M;
  const float smoothing = target.label_smoothing;
  const float elsewhere =
      smoothing == 0.0F ? 0.0F : smoothing / static_cast<float>(target.num_classes);
  const float at_label = (1.0F - smoothing) + elsewhere;
  for_rows(
      exec, logits_MK.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t m = row.index();
        const float* logits = row_data(logits_MK, m);
        Real* dlogits = row_data(dlogits_MK, m);
        if (labels_M(m) < 0) {
          row.each(num_classes, [=](std::int64_t k) { dlogits[k] = from_float<Real>(0.0F); });
          return;
        }
        const float log_sum = log_sum_M(m);
        const float row_scale = row_weight_M.extent(0) == 0 ? scale : scale * row_weight_M(m);
        const std::int32_t label = labels_M(m) - static_cast<std::int32_t>(first_class);
        row.each(num_classes, [=](std::int64_t k) {
          const float share = static_cast<std::int32_t>(k) == label ? at_label : elsewhere;
          dlogits[k] = from_float<Real>(row_scale * (fast_exp(logits[k] - log_sum) - share));
        });
      });
}

template void softmax_gradient<float>(const Exec&, Tensor2<float>, Tensor2<const float>,
                                      Tensor1<const float>, Tensor1<const std::int32_t>, float,
                                      std::int64_t, const SoftmaxTarget&);
template void softmax_gradient<bf16>(const Exec&, Tensor2<bf16>, Tensor2<const float>,
                                     Tensor1<const float>, Tensor1<const std::int32_t>, float,
                                     std::int64_t, const SoftmaxTarget&);

}  // namespace polyphase
