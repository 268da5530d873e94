// SPDX-License-Identifier: Apache-2.0
#include "kernels/distillation.hpp"

#include <limits>

#include "kernels/for_rows.hpp"
#include "kernels/math.hpp"

namespace polyphase {

void soft_stats_begin(const Exec& exec, const SoftStats& stats) {
  const KernelRegion region("soft_stats_begin");
  const SoftStats to = stats;
  for_elements(
      exec, stats.student_max_M.extent(0), KOKKOS_LAMBDA(std::int64_t m) {
        to.student_max_M.data()[m] = -std::numeric_limits<float>::infinity();
        to.teacher_max_M.data()[m] = -std::numeric_limits<float>::infinity();
        to.student_sum_M.data()[m] = 0.0F;
        to.teacher_sum_M.data()[m] = 0.0F;
        to.difference_M.data()[m] = 0.0F;
      });
}

void soft_stats_add(const Exec& exec, const SoftStats& stats, Tensor2<const float> student_MK,
                    Tensor2<const float> teacher_MK, float temperature) {
  const KernelRegion region("soft_stats_add");
  const SoftStats to = stats;
  const std::int64_t num_classes = student_MK.extent(1);
  const float factor = 1.0F / temperature;
  for_rows(
      exec, student_MK.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t m = row.index();
        const float* z = row_data(student_MK, m);
        const float* t = row_data(teacher_MK, m);
        // All lanes read what stood there before any of them writes: the reductions lie between.
        const float old_z = to.student_max_M(m), old_t = to.teacher_max_M(m);
        const float old_z_sum = to.student_sum_M(m), old_t_sum = to.teacher_sum_M(m);
        const float old_difference = to.difference_M(m);
        const float block_z = factor * row.max(num_classes, [=](std::int64_t k) { return z[k]; });
        const float block_t = factor * row.max(num_classes, [=](std::int64_t k) { return t[k]; });
        const float max_z = block_z > old_z ? block_z : old_z;
        const float max_t = block_t > old_t ? block_t : old_t;
        const float z_sum =
            row.sum(num_classes, [=](std::int64_t k) { return fast_exp(factor * z[k] - max_z); });
        const Pair teacher = row.sum_pair(num_classes, [=](std::int64_t k) {
          const float p = fast_exp(factor * t[k] - max_t);
          return Pair{p, p * factor * (t[k] - z[k])};
        });
        to.student_max_M(m) = max_z;
        to.teacher_max_M(m) = max_t;
        to.student_sum_M(m) = old_z_sum * fast_exp(old_z - max_z) + z_sum;
        const float shrink = fast_exp(old_t - max_t);
        to.teacher_sum_M(m) = old_t_sum * shrink + teacher.first;
        to.difference_M(m) = old_difference * shrink + teacher.second;
      });
}

template <class Real>
void soft_gradient_add(const Exec& exec, Tensor2<Real> dlogits_MK, Tensor2<const float> student_MK,
                       Tensor2<const float> teacher_MK, Tensor1<const float> student_log_sum_M,
                       Tensor1<const float> teacher_log_sum_M, Tensor1<const std::int32_t> labels_M,
                       float temperature, float scale) {
  const KernelRegion region("soft_gradient_add");
  const std::int64_t num_classes = student_MK.extent(1);
  const float factor = 1.0F / temperature;
  for_rows(
      exec, student_MK.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t m = row.index();
        if (labels_M(m) < 0) return;
        const float* z = row_data(student_MK, m);
        const float* t = row_data(teacher_MK, m);
        Real* dlogits = row_data(dlogits_MK, m);
        const float z_sum = student_log_sum_M(m), t_sum = teacher_log_sum_M(m);
        row.each(num_classes, [=](std::int64_t k) {
          const float difference =
              fast_exp(factor * z[k] - z_sum) - fast_exp(factor * t[k] - t_sum);
          dlogits[k] = from_float<Real>(to_float(dlogits[k]) + scale * difference);
        });
      });
}

template <class Real>
void squared_difference(const Exec& exec, Tensor1<float> losses_N, Tensor2<float> dx_NC,
                        Tensor2<const Real> x_NC, Tensor2<const Real> y_NC, float scale) {
  const KernelRegion region("squared_difference");
  const std::int64_t width = x_NC.extent(1);
  const float share = 1.0F / static_cast<float>(width);
  const bool with_gradient = dx_NC.extent(0) != 0;
  for_rows(
      exec, losses_N.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t n = row.index();
        const Real* x = row_data(x_NC, n);
        const Real* y = row_data(y_NC, n);
        losses_N(n) = share * row.sum(width, [=](std::int64_t c) {
          const float difference = to_float(x[c]) - to_float(y[c]);
          return difference * difference;
        });
        if (!with_gradient) return;
        float* dx = row_data(dx_NC, n);
        row.each(width, [=](std::int64_t c) {
          dx[c] += 2.0F * scale * share * (to_float(x[c]) - to_float(y[c]));
        });
      });
}

#define POLYPHASE_DISTILLATION(Real)                                                          \
  template void soft_gradient_add<Real>(                                                      \
      const Exec&, Tensor2<Real>, Tensor2<const float>, Tensor2<const float>,                 \
      Tensor1<const float>, Tensor1<const float>, Tensor1<const std::int32_t>, float, float); \
  template void squared_difference<Real>(const Exec&, Tensor1<float>, Tensor2<float>,         \
                                         Tensor2<const Real>, Tensor2<const Real>, float);
POLYPHASE_DISTILLATION(float)
POLYPHASE_DISTILLATION(bf16)
#undef POLYPHASE_DISTILLATION

}  // namespace polyphase
