// SPDX-License-Identifier: Apache-2.0
#include "kernels/mix_rows.hpp"

#include "kernels/for_rows.hpp"

namespace polyphase {

template <class Real>
void mix_rows_forward(const Exec& exec, Tensor2<Real> y_MC, Tensor2<const Real> x_BC,
                      Tensor1<const float> share_B, std::int64_t shift) {
  const KernelRegion region("mix_rows_forward");
  const std::int64_t num_rows = x_BC.extent(0), num_columns = x_BC.extent(1);
  for_rows(
      exec, 2 * num_rows, KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t b = row.index() % num_rows;
        const float share = share_B(b);
        const Real* own = row_data(x_BC, b);
        const Real* other = row_data(x_BC, (b + shift) % num_rows);
        Real* y = row_data(y_MC, row.index());
        row.each(num_columns, [=](std::int64_t c) {
          y[c] = from_float<Real>(share * to_float(own[c]) + (1.0F - share) * to_float(other[c]));
        });
      });
}

void mix_rows_backward(const Exec& exec, Tensor2<float> dx_BC, Tensor2<const float> dy_MC,
                       Tensor1<const float> share_B, std::int64_t shift) {
  const KernelRegion region("mix_rows_backward");
  const std::int64_t num_rows = dx_BC.extent(0), num_columns = dx_BC.extent(1);
  for_rows(
      exec, num_rows, KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t b = row.index();
        const std::int64_t taker =
            (b + num_rows - shift) % num_rows;  // the row that b was mixed into
        const float own = share_B(b), given = 1.0F - share_B(taker);
        const float* dy = row_data(dy_MC, b);
        const float* dy_again = row_data(dy_MC, b + num_rows);
        const float* dz = row_data(dy_MC, taker);
        const float* dz_again = row_data(dy_MC, taker + num_rows);
        float* dx = row_data(dx_BC, b);
        row.each(num_columns, [=](std::int64_t c) {
          dx[c] = own * (dy[c] + dy_again[c]) + given * (dz[c] + dz_again[c]);
        });
      });
}

template void mix_rows_forward(const Exec&, Tensor2<float>, Tensor2<const float>,
                               Tensor1<const float>, std::int64_t);
template void mix_rows_forward(const Exec&, Tensor2<bf16>, Tensor2<const bf16>,
                               Tensor1<const float>, std::int64_t);

}  // namespace polyphase
