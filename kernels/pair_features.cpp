// SPDX-License-Identifier: Apache-2.0
#include "kernels/pair_features.hpp"

#include "kernels/for_rows.hpp"

namespace polyphase {

template <class Real>
void pair_features_forward(const Exec& exec, Tensor2<Real> y_B4C, Tensor2<const Real> x_B2C) {
  const KernelRegion region("pair_features_forward");
  const std::int64_t width = x_B2C.extent(1) / 2;
  for_rows(
      exec, x_B2C.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const Real* x = row_data(x_B2C, row.index());
        Real* y = row_data(y_B4C, row.index());
        row.each(width, [=](std::int64_t c) {
          const float u = to_float(x[c]), v = to_float(x[width + c]);
          y[c] = x[c];
          y[width + c] = x[width + c];
          y[2 * width + c] = from_float<Real>(u < v ? v - u : u - v);
          y[3 * width + c] = from_float<Real>(u * v);
        });
      });
}

template <class Real>
void pair_features_backward(const Exec& exec, Tensor2<float> dx_B2C, Tensor2<const float> dy_B4C,
                            Tensor2<const Real> x_B2C) {
  const KernelRegion region("pair_features_backward");
  const std::int64_t width = x_B2C.extent(1) / 2;
  for_rows(
      exec, x_B2C.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const Real* x = row_data(x_B2C, row.index());
        const float* dy = row_data(dy_B4C, row.index());
        float* dx = row_data(dx_B2C, row.index());
        row.each(width, [=](std::int64_t c) {
          const float u = to_float(x[c]), v = to_float(x[width + c]);
          const float sign = u == v ? 0.0F : u < v ? -1.0F : 1.0F;
          const float difference = sign * dy[2 * width + c], product = dy[3 * width + c];
          dx[c] = dy[c] + difference + product * v;
          dx[width + c] = dy[width + c] - difference + product * u;
        });
      });
}

template void pair_features_forward(const Exec&, Tensor2<float>, Tensor2<const float>);
template void pair_features_forward(const Exec&, Tensor2<bf16>, Tensor2<const bf16>);
template void pair_features_backward(const Exec&, Tensor2<float>, Tensor2<const float>,
                                     Tensor2<const float>);
template void pair_features_backward(const Exec&, Tensor2<float>, Tensor2<const float>,
                                     Tensor2<const bf16>);

}  // namespace polyphase
