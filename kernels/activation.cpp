// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"

#include "kernels/activation_functions.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/for_rows.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

// Calls run with the function of that kind, as a value of its type.
template <class Run>
void with_function(Activation kind, const Run& run) {
  switch (kind) {
    case Activation::kGelu:
      return run(Gelu());
    case Activation::kGeluTanh:
      return run(GeluTanh());
    case Activation::kRelu:
      return run(Relu());
    case Activation::kTanh:
      return run(Tanh());
    case Activation::kSilu:
      return run(Silu());
  }
}

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

// Pointers into one row of every operand of a gated activation.
template <class Real>
struct GatedBackwardRow {
  Real *dx, *y;
  const Real *dy, *x;
  float* dbias;

  template <class Function>
  KOKKOS_INLINE_FUNCTION void run(const Row& row, std::int64_t num_columns) const {
    Real *const dlinear = dx, *const dgate = dx + num_columns, *const y_row = y;
    const Real *const linear = x, *const gate = x + num_columns, *const dy_row = dy;
    float* const dlinear_bias = dbias;
    float* const dgate_bias = dbias == nullptr ? nullptr : dbias + num_columns;
    const bool with_value = y != nullptr, with_bias = dbias != nullptr;
    row.each(num_columns, [=](std::int64_t c) {
      const ValueAndSlope at = Function::both(to_float(gate[c]));
      const float up = to_float(linear[c]), dvalue = to_float(dy_row[c]);
      const float by_linear = dvalue * at.value, by_gate = dvalue * up * at.slope;
      dlinear[c] = from_float<Real>(by_linear);
      dgate[c] = from_float<Real>(by_gate);
      if (with_value) y_row[c] = from_float<Real>(up * at.value);
      if (with_bias) {
        dlinear_bias[c] += by_linear;
        dgate_bias[c] += by_gate;
      }
    });
  }
};

template <class Function, class Real>
void gated_forward_of(const Exec& exec, Tensor2<Real> y_NF, Tensor2<const Real> x_N2F) {
  const std::int64_t num_columns = y_NF.extent(1);
  for_rows(
      exec, y_NF.extent(0), KOKKOS_LAMBDA(const Row& row) {
        Real* y = row_data(y_NF, row.index());
        const Real* linear = row_data(x_N2F, row.index());
        const Real* gate = linear + num_columns;
        row.each(num_columns, [=](std::int64_t c) {
          y[c] = from_float<Real>(to_float(linear[c]) * Function::value(to_float(gate[c])));
        });
      });
}

// What a whole backward pass works on, one operand a member; BackwardRow is one row of it.
template <class Real>
struct BackwardOperands {
  Tensor2<Real> dx, y;
  Tensor2<float> dbias_P;  // partial sums of P blocks of rows
  Tensor2<const Real> dy, x;
};

// Rows are taken in blocks, so that the partial sums of the bias stay in the nearest cache.
template <class Function, template <class> class RowOf, class Real>
void backward_of(const Exec& exec, const BackwardOperands<Real>& all) {
  const std::int64_t num_rows = all.dy.extent(0), num_columns = all.dy.extent(1);
  const std::int64_t num_biases = all.dbias_P.extent(1);
  for_rows(
      exec, divide_up(num_rows, kRowsPerBlock), KOKKOS_LAMBDA(const Row& row) {
        float* dbias = row_data(all.dbias_P, row.index());
        if (dbias != nullptr) row.each(num_biases, [=](std::int64_t c) { dbias[c] = 0.0F; });
        const std::int64_t begin = row.index() * kRowsPerBlock;
        const std::int64_t end = smaller(begin + kRowsPerBlock, num_rows);
        for (std::int64_t n = begin; n < end; ++n) {
          const RowOf<Real> here{row_data(all.dx, n), row_data(all.y, n), row_data(all.dy, n),
                                 row_data(all.x, n), dbias};
          here.template run<Function>(row, num_columns);
        }
      });
}

template <template <class> class RowOf, class Real>
void backward(const Exec& exec, Activation kind, Tensor1<float> dbias, Write write,
              BackwardOperands<Real> all) {
  const bool with_bias = dbias.extent(0) != 0;
  ArenaScope scope(*exec.arena);
  if (with_bias) {
    all.dbias_P =
        exec.arena->take2<float>(divide_up(all.dy.extent(0), kRowsPerBlock), dbias.extent(0));
  }
  with_function(kind,
                [&](auto function) { backward_of<decltype(function), RowOf, Real>(exec, all); });
  if (with_bias) column_sum<float>(exec, dbias, write, all.dbias_P);
}

}  // namespace

template <class Real>
void activation_forward(const Exec& exec, Activation kind, Tensor2<Real> y_NF,
                        Tensor2<const Real> x_NF) {
  const KernelRegion region("activation_forward");
  note_moved(exec, y_NF, x_NF);
  with_function(kind, [&](auto function) {
    forward_of<decltype(function), Real>(exec, flat(y_NF), flat(x_NF));
  });
}

template <class Real>
void activation_backward(const Exec& exec, Activation kind, Tensor2<Real> dx_NF, Tensor2<Real> y_NF,
                         Tensor1<float> dbias_F, Write write, Tensor2<const Real> dy_NF,
                         Tensor2<const Real> x_NF) {
  const KernelRegion region("activation_backward");
  note_moved(exec, dx_NF, y_NF, dy_NF, x_NF);
  backward<BackwardRow, Real>(exec, kind, dbias_F, write, {dx_NF, y_NF, {}, dy_NF, x_NF});
}

template <class Real>
void gated_activation_forward(const Exec& exec, Activation kind, Tensor2<Real> y_NF,
                              Tensor2<const Real> x_N2F) {
  const KernelRegion region("gated_activation_forward");
  note_moved(exec, y_NF, x_N2F);
  with_function(
      kind, [&](auto function) { gated_forward_of<decltype(function), Real>(exec, y_NF, x_N2F); });
}

template <class Real>
void gated_activation_backward(const Exec& exec, Activation kind, Tensor2<Real> dx_N2F,
                               Tensor2<Real> y_NF, Tensor1<float> dbias_2F, Write write,
                               Tensor2<const Real> dy_NF, Tensor2<const Real> x_N2F) {
  const KernelRegion region("gated_activation_backward");
  note_moved(exec, dx_N2F, y_NF, dy_NF, x_N2F);
  backward<GatedBackwardRow, Real>(exec, kind, dbias_2F, write, {dx_N2F, y_NF, {}, dy_NF, x_N2F});
}

#define POLYPHASE_ACTIVATION(Real)                                                               \
  template void activation_forward<Real>(const Exec&, Activation, Tensor2<Real>,                 \
                                         Tensor2<const Real>);                                   \
  template void activation_backward<Real>(const Exec&, Activation, Tensor2<Real>, Tensor2<Real>, \
                                          Tensor1<float>, Write, Tensor2<const Real>,            \
                                          Tensor2<const Real>);                                  \
  template void gated_activation_forward<Real>(const Exec&, Activation, Tensor2<Real>,           \
                                               Tensor2<const Real>);                             \
  template void gated_activation_backward<Real>(const Exec&, Activation, Tensor2<Real>,          \
                                                Tensor2<Real>, Tensor1<float>, Write,            \
                                                Tensor2<const Real>, Tensor2<const Real>);
POLYPHASE_ACTIVATION(float)
POLYPHASE_ACTIVATION(bf16)
#undef POLYPHASE_ACTIVATION

}  // namespace polyphase
