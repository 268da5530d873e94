// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"

#include "kernels/activation_functions.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/for_rows.hpp"

namespace polyphase {
namespace {

template <class Function, class Real>
void forward_of(const Exec& exec, Tensor1<Real> y, Tensor1<const Real> x) {
  for_elements(
      exec, y.extent(0), KOKKOS_LAMBDA(std::int64_t i) {
        y.data()[i] = from_float<Real>(Function::value(to_float(x.data()[i])));
      });
}

// Pointers into one row of every operand.
template <class Real>
struct BackwardRow {
  Real *dx, *y;
  const Real *dy, *x;
  float* dbias;

  template <class Function>
  KOKKOS_INLINE_FUNCTION void run(const Row& row, std::int64_t num_columns) const {
    // Local copies: a store to a row must not make the compiler read the pointers again.
    Real *const dx_row = dx, *const y_row = y;
    const Real *const dy_row = dy, *const x_row = x;
    float* const dbias_row = dbias;
    row.each(num_columns, [=](std::int64_t c) {
      const ValueAndSlope at = Function::both(to_float(x_row[c]));
      const float gradient = to_float(dy_row[c]) * at.slope;
      dx_row[c] = from_float<Real>(gradient);
      if (y_row != nullptr) y_row[c] = from_float<Real>(at.value);
      if (dbias_row != nullptr) dbias_row[c] += gradient;
    });
  }
};

// Rows are taken in blocks, so that the partial sums of the bias stay in the nearest cache.
template <class Function, class Real>
void backward_of(const Exec& exec, Tensor2<Real> dx_NF, Tensor2<Real> y_NF, Tensor2<float> dbias_PF,
                 Tensor2<const Real> dy_NF, Tensor2<const Real> x_NF) {
  const std::int64_t num_rows = dy_NF.extent(0), num_columns = dy_NF.extent(1);
  for_rows(
      exec, divide_up(num_rows, kRowsPerBlock), KOKKOS_LAMBDA(const Row& row) {
        float* dbias = row_data(dbias_PF, row.index());
        if (dbias != nullptr) {
          row.each(num_columns, [=](std::int64_t c) { dbias[c] = 0.0F; });
        }
        const std::int64_t begin = row.index() * kRowsPerBlock;
        const std::int64_t end = smaller(begin + kRowsPerBlock, num_rows);
        for (std::int64_t n = begin; n < end; ++n) {
          const BackwardRow<Real> here{row_data(dx_NF, n), row_data(y_NF, n), row_data(dy_NF, n),
                                       row_data(x_NF, n), dbias};
          here.template run<Function>(row, num_columns);
        }
      });
}

}  // namespace

template <class Real>
void activation_forward(const Exec& exec, Activation kind, Tensor2<Real> y_NF,
                        Tensor2<const Real> x_NF) {
  const KernelRegion region("activation_forward");
  const Tensor1<Real> y = flat(y_NF);
  const Tensor1<const Real> x = flat(x_NF);
  switch (kind) {
    case Activation::kGelu:
      return forward_of<Gelu>(exec, y, x);
    case Activation::kGeluTanh:
      return forward_of<GeluTanh>(exec, y, x);
    case Activation::kRelu:
      return forward_of<Relu>(exec, y, x);
    case Activation::kTanh:
      return forward_of<Tanh>(exec, y, x);
  }
}

template <class Real>
void activation_backward(const Exec& exec, Activation kind, Tensor2<Real> dx_NF, Tensor2<Real> y_NF,
                         Tensor1<float> dbias_F, Write write, Tensor2<const Real> dy_NF,
                         Tensor2<const Real> x_NF) {
  const KernelRegion region("activation_backward");
  const bool with_bias = dbias_F.extent(0) != 0;
  ArenaScope scope(*exec.arena);
  const Tensor2<float> dbias_PF =
      with_bias
          ? exec.arena->take2<float>(divide_up(dy_NF.extent(0), kRowsPerBlock), dy_NF.extent(1))
          : Tensor2<float>();
  switch (kind) {
    case Activation::kGelu:
      backward_of<Gelu>(exec, dx_NF, y_NF, dbias_PF, dy_NF, x_NF);
      break;
    case Activation::kGeluTanh:
      backward_of<GeluTanh>(exec, dx_NF, y_NF, dbias_PF, dy_NF, x_NF);
      break;
    case Activation::kRelu:
      backward_of<Relu>(exec, dx_NF, y_NF, dbias_PF, dy_NF, x_NF);
      break;
    case Activation::kTanh:
      backward_of<Tanh>(exec, dx_NF, y_NF, dbias_PF, dy_NF, x_NF);
      break;
  }
  if (with_bias) column_sum<float>(exec, dbias_F, write, dbias_PF);
}

#define POLYPHASE_ACTIVATION(Real)                                                               \
  template void activation_forward<Real>(const Exec&, Activation, Tensor2<Real>,                 \
                                         Tensor2<const Real>);                                   \
  template void activation_backward<Real>(const Exec&, Activation, Tensor2<Real>, Tensor2<Real>, \
                                          Tensor1<float>, Write, Tensor2<const Real>,            \
                                          Tensor2<const Real>);
POLYPHASE_ACTIVATION(float)
POLYPHASE_ACTIVATION(bf16)
#undef POLYPHASE_ACTIVATION

}  // namespace polyphase
