// SPDX-License-Identifier: Apache-2.0
#include "kernels/combine.hpp"

#include "kernels/for_items.hpp"
#include "kernels/work.hpp"

namespace polyphase {

namespace {

struct CombineItem {
  float* y;
  const float* x;
  std::int64_t count;
  float factor_y, factor_x;
};

}  // namespace

void combine(const Exec& exec, Tensor1<float> y, float factor_y, Tensor1<const float> x,
             float factor_x) {
  const KernelRegion region("combine");
  note_moved(exec, y, y, x);
  for_elements(
      exec, y.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        y.data()[i] = factor_y * y.data()[i] + factor_x * x.data()[i];
      });
}

void combine(const Exec& exec, const std::vector<Combination>& all) {
  const KernelRegion region("combine");
  std::vector<CombineItem> items;
  for (const Combination& one : all) {
    note_moved(exec, one.y, one.y, one.x);
    items.push_back({one.y.data(), one.x.data(), static_cast<std::int64_t>(one.y.extent(0)),
                     one.factor_y, one.factor_x});
  }
  for_elements_of_all(
      exec, items, [](const CombineItem& item) { return item.count; },
      KOKKOS_LAMBDA(const CombineItem& of, std::int64_t i) {
        of.y[i] = of.factor_y * of.y[i] + of.factor_x * of.x[i];
      });
}

void swap_elements(const Exec& exec, Tensor1<float> x, Tensor1<float> y) {
  const KernelRegion region("swap_elements");
  note_moved(exec, x, x, y, y);
  for_elements(
      exec, x.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        const float value = x.data()[i];
        x.data()[i] = y.data()[i];
        y.data()[i] = value;
      });
}

void clamp(const Exec& exec, Tensor1<float> x, float largest) {
  const KernelRegion region("clamp");
  note_moved(exec, x, x);
  for_elements(
      exec, x.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        const float value = x.data()[i];
        x.data()[i] = value > largest ? largest : (value < -largest ? -largest : value);
      });
}

void add_penalty_gradient(const Exec& exec, Tensor1<float> dw, Tensor1<const float> w, float l1,
                          float l2) {
  const KernelRegion region("add_penalty_gradient");
  note_moved(exec, dw, dw, w);
  for_elements(
      exec, dw.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        const float value = w.data()[i];
        const float sign = value > 0.0F ? 1.0F : (value < 0.0F ? -1.0F : 0.0F);
        dw.data()[i] += l1 * sign + l2 * value;
      });
}

void copy_block(const Exec& exec, Tensor2<float> to, Tensor2<const float> from,
                const Block& block) {
  const KernelRegion region("copy_block");
  for_rows(
      exec, block.num_rows, KOKKOS_LAMBDA(const Row& row) {
        float* out = row_data(to, block.to_row + row.index()) + block.to_column;
        const float* in = row_data(from, block.from_row + row.index()) + block.from_column;
        row.each(block.num_columns, [=](std::int64_t c) { out[c] = in[c]; });
      });
}

}  // namespace polyphase
