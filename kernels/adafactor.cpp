// SPDX-License-Identifier: Apache-2.0
#include "kernels/adafactor.hpp"

#include "kernels/elementwise.hpp"
#include "kernels/for_rows.hpp"
#include "kernels/math.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

constexpr float kSmallestSquare = 1e-30F;  // epsilon 1 of the paper

}  // namespace

void row_square_sums(const Exec& exec, Tensor1<float> sums_R, Tensor2<const float> gradient_RC,
                     float scale) {
  const KernelRegion region("row_square_sums");
  note_moved(exec, gradient_RC);
  const std::int64_t num_columns = gradient_RC.extent(1);
  for_rows(
      exec, sums_R.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const float* gradient = row_data(gradient_RC, row.index());
        sums_R.data()[row.index()] = row.sum(num_columns, [=](std::int64_t c) {
          const float g = scale * gradient[c];
          return g * g;
        });
      });
}

void column_square_sums(const Exec& exec, Tensor1<float> sums_C, Tensor2<const float> gradient_RC,
                        float scale) {
  const KernelRegion region("column_square_sums");
  note_moved(exec, gradient_RC);
  const std::int64_t num_rows = gradient_RC.extent(0), num_columns = gradient_RC.extent(1);
  ArenaScope scope(*exec.arena);
  const Tensor2<float> partial_PC =
      exec.arena->take2<float>(divide_up(num_rows, kRowsPerBlock), num_columns);
  for_rows(
      exec, partial_PC.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t begin = row.index() * kRowsPerBlock;
        const std::int64_t end = smaller(begin + kRowsPerBlock, num_rows);
        float* partial = row_data(partial_PC, row.index());
        row.each(num_columns, [=](std::int64_t c) { partial[c] = 0.0F; });
        for (std::int64_t n = begin; n < end; ++n) {
          const float* gradient = row_data(gradient_RC, n);
          row.each(num_columns, [=](std::int64_t c) {
            const float g = scale * gradient[c];
            partial[c] += g * g;
          });
        }
      });
  column_sum<float>(exec, sums_C, Write::kOverwrite, partial_PC);
}

void average_squares(const Exec& exec, Tensor1<float> average, Tensor1<const float> sums,
                     float factor, float share) {
  const KernelRegion region("average_squares");
  for_elements(
      exec, average.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        const float mean = factor * sums.data()[i] + kSmallestSquare;
        average.data()[i] += share * (mean - average.data()[i]);
      });
}

void factored_direction(const Exec& exec, Tensor2<float> direction_RC,
                        Tensor2<const float> gradient_RC, float scale, Tensor1<const float> row_R,
                        Tensor1<const float> column_C, float mean_row) {
  const KernelRegion region("factored_direction");
  note_moved(exec, direction_RC, gradient_RC);
  const std::int64_t num_columns = gradient_RC.extent(1);
  for_rows(
      exec, gradient_RC.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const float* gradient = row_data(gradient_RC, row.index());
        float* direction = row_data(direction_RC, row.index());
        // Two roots rather than one of the product, which can be too small for float32.
        const float of_row = scale / math::sqrt(row_R.data()[row.index()] / mean_row);
        const float* column = column_C.data();
        row.each(num_columns, [=](std::int64_t c) {
          direction[c] = gradient[c] * of_row / math::sqrt(column[c]);
        });
      });
}

void square_direction(const Exec& exec, Tensor1<float> direction, Tensor1<float> square,
                      Tensor1<const float> gradient, float scale, float share) {
  const KernelRegion region("square_direction");
  note_moved(exec, direction, square, square, gradient);
  for_elements(
      exec, square.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        const float g = scale * gradient.data()[i];
        const float v = square.data()[i] + share * (g * g + kSmallestSquare - square.data()[i]);
        square.data()[i] = v;
        direction.data()[i] = g / math::sqrt(v);
      });
}

}  // namespace polyphase
