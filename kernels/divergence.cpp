// SPDX-License-Identifier: Apache-2.0
#include "kernels/divergence.hpp"

#include "kernels/for_rows.hpp"
#include "kernels/math.hpp"

namespace polyphase {

void divergence_add(const Exec& exec, Tensor1<float> divergence_M, Tensor2<const float> logits_MK,
                    const SoftmaxPairs& pairs) {
  const KernelRegion region("divergence_add");
  const SoftmaxPairs both = pairs;
  const std::int64_t num_classes = logits_MK.extent(1);
  for_rows(
      exec, pairs.num_pairs, KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t p = row.index(), q = both.num_pairs + p;
        if (both.labels_M(p) < 0) return;
        const float* logits_p = row_data(logits_MK, p);
        const float* logits_q = row_data(logits_MK, q);
        const float log_sum_p = both.log_sum_M(p), log_sum_q = both.log_sum_M(q);
        const float before_p = divergence_M(p), before_q = divergence_M(q);
        const Pair sums = row.sum_pair(num_classes, [=](std::int64_t k) -> Pair {
          const float log_p = logits_p[k] - log_sum_p, log_q = logits_q[k] - log_sum_q;
          return {fast_exp(log_p) * (log_p - log_q), fast_exp(log_q) * (log_q - log_p)};
        });
        divergence_M(p) = before_p + sums.first;
        divergence_M(q) = before_q + sums.second;
      });
}

template <class Real>
void divergence_gradient_add(const Exec& exec, Tensor2<Real> dlogits_MK,
                             Tensor2<const float> logits_MK, Tensor1<const float> divergence_M,
                             const SoftmaxPairs& pairs, float scale) {
  const KernelRegion region("divergence_gradient_add");
  const SoftmaxPairs both = pairs;
  const std::int64_t num_classes = logits_MK.extent(1);
  for_rows(
      exec, 2 * pairs.num_pairs, KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t m = row.index();
        const std::int64_t partner = m < both.num_pairs ? m + both.num_pairs : m - both.num_pairs;
        if (both.labels_M(m) < 0) return;
        const float* logits = row_data(logits_MK, m);
        const float* others = row_data(logits_MK, partner);
        Real* dlogits = row_data(dlogits_MK, m);
        const float log_sum = both.log_sum_M(m), log_sum_other = both.log_sum_M(partner);
        const float divergence = divergence_M(m);
        row.each(num_classes, [=](std::int64_t k) {
          const float log_p = logits[k] - log_sum, log_q = others[k] - log_sum_other;
          const float p = fast_exp(log_p), q = fast_exp(log_q);
          const float gradient = p * (log_p - log_q - divergence) + p - q;
          dlogits[k] = from_float<Real>(to_float(dlogits[k]) + scale * gradient);
        });
      });
}

template void divergence_gradient_add<float>(const Exec&, Tensor2<float>, Tensor2<const float>,
                                             Tensor1<const float>, const SoftmaxPairs&, float);
template void divergence_gradient_add<bf16>(const Exec&, Tensor2<bf16>, Tensor2<const float>,
                                            Tensor1<const float>, const SoftmaxPairs&, float);

}  // namespace polyphase
