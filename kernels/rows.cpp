// SPDX-License-Identifier: Apache-2.0
#include "kernels/rows.hpp"

#include "kernels/for_rows.hpp"
#include "kernels/work.hpp"

namespace polyphase {

template <class Real>
void gather_rows(const Exec& exec, Tensor2<Real> y_MC, Tensor2<const Real> x_NC,
                 Tensor1<const std::int32_t> rows_M) {
  const KernelRegion region("gather_rows");
  note_moved(exec, y_MC, y_MC);
  const std::int64_t num_columns = y_MC.extent(1);
  for_rows(
      exec, y_MC.extent(0), KOKKOS_LAMBDA(const Row& row) {
        Real* y = row_data(y_MC, row.index());
        const std::int32_t n = rows_M(row.index());
        if (n < 0) {
          row.each(num_columns, [=](std::int64_t c) { y[c] = from_float<Real>(0.0F); });
        } else {
          const Real* x = row_data(x_NC, n);
          row.each(num_columns, [=](std::int64_t c) { y[c] = x[c]; });
        }
      });
}

template <class Real>
void store_rows(const Exec& exec, Tensor2<Real> y_RC, Tensor1<const std::int32_t> rows_N,
                Tensor2<const Real> x_NQ, std::int64_t first_column) {
  const KernelRegion region("store_rows");
  const std::int64_t num_columns = y_RC.extent(1);
  for_rows(
      exec, x_NQ.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const std::int32_t to = rows_N(row.index());
        if (to < 0) return;
        const Real* x = row_data(x_NQ, row.index()) + first_column;
        Real* y = row_data(y_RC, to);
        row.each(num_columns, [=](std::int64_t c) { y[c] = x[c]; });
      });
}

void scatter_rows(const Exec& exec, Tensor2<float> dx_NC, Tensor2<const float> dy_MC,
                  Tensor1<const std::int32_t> rows_M) {
  const KernelRegion region("scatter_rows");
  note_moved(exec, dy_MC, dy_MC, dy_MC);
  const std::int64_t num_columns = dy_MC.extent(1);
  for_rows(
      exec, dy_MC.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const std::int32_t n = rows_M(row.index());
        if (n < 0) return;
        const float* dy = row_data(dy_MC, row.index());
        float* dx = row_data(dx_NC, n);
        row.each(num_columns, [=](std::int64_t c) { dx[c] += dy[c]; });
      });
}

template <class Real>
void mean_rows(const Exec& exec, Tensor2<Real> y_BC, Tensor2<const Real> x_NC,
               Tensor1<const std::int32_t> starts) {
  const KernelRegion region("mean_rows");
  note_moved(exec, x_NC);
  const std::int64_t num_columns = y_BC.extent(1);
  const std::int64_t num_chunks = divide_up(num_columns, kColumnsPerChunk);
  for_rows(
      exec, y_BC.extent(0) * num_chunks, KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t b = row.index() / num_chunks;
        ColumnChunk chunk(row, row.index() % num_chunks, num_columns);
        for (std::int64_t n = starts(b); n < starts(b + 1); ++n) {
          chunk.add(row, row_data(x_NC, n));
        }
        const std::int32_t length = starts(b + 1) - starts(b);
        const float share = length == 0 ? 0.0F : 1.0F / static_cast<float>(length);
        Real* y = row_data(y_BC, b) + chunk.begin;
        chunk.each(row,
                   [=](std::int64_t c, float total) { y[c] = from_float<Real>(total * share); });
      });
}

void mean_rows_backward(const Exec& exec, Tensor2<float> dx_NC, Tensor2<const float> dy_BC,
                        Tensor1<const std::int32_t> starts) {
  const KernelRegion region("mean_rows_backward");
  note_moved(exec, dx_NC, dx_NC);
  const std::int64_t num_columns = dy_BC.extent(1);
  for_rows(
      exec, dy_BC.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const std::int32_t begin = starts(row.index()), end = starts(row.index() + 1);
        const float* dy = row_data(dy_BC, row.index());
        const float share = 1.0F / static_cast<float>(end - begin);
        for (std::int64_t n = begin; n < end; ++n) {
          float* dx = row_data(dx_NC, n);
          row.each(num_columns, [=](std::int64_t c) { dx[c] += dy[c] * share; });
        }
      });
}

template void store_rows<float>(const Exec&, Tensor2<float>, Tensor1<const std::int32_t>,
                                Tensor2<const float>, std::int64_t);
template void store_rows<bf16>(const Exec&, Tensor2<bf16>, Tensor1<const std::int32_t>,
                               Tensor2<const bf16>, std::int64_t);
template void gather_rows<float>(const Exec&, Tensor2<float>, Tensor2<const float>,
                                 Tensor1<const std::int32_t>);
template void gather_rows<bf16>(const Exec&, Tensor2<bf16>, Tensor2<const bf16>,
                                Tensor1<const std::int32_t>);
template void mean_rows<float>(const Exec&, Tensor2<float>, Tensor2<const float>,
                               Tensor1<const std::int32_t>);
template void mean_rows<bf16>(const Exec&, Tensor2<bf16>, Tensor2<const bf16>,
                              Tensor1<const std::int32_t>);

}  // namespace polyphase
