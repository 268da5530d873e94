// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout.hpp"

#include "kernels/dropout_row.hpp"

namespace polyphase {

template <class Real>
void dropout_apply(const Exec& exec, Tensor2<Real> x_NC, const Dropout& dropout) {
  const KernelRegion region("dropout_apply");
  if (dropout.rate == 0.0F) return;
  const DropoutRule rule(dropout);
  const std::int64_t num_columns = x_NC.extent(1);
  for_rows(
      exec, x_NC.extent(0), KOKKOS_LAMBDA(const Row& row) {
        Real* x = row_data(x_NC, row.index());
        each_with_dropout(row, num_columns, rule, rule.row_ids_N(row.index()),
                          [=](std::int64_t c, float factor) {
                            x[c] = from_float<Real>(to_float(x[c]) * factor);
                          });
      });
}

template void dropout_apply<float>(const Exec&, Tensor2<float>, const Dropout&);
template void dropout_apply<bf16>(const Exec&, Tensor2<bf16>, const Dropout&);

}  // namespace polyphase
