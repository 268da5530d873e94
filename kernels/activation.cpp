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

// The body of one row of each pass, with pointers into the row of every operand.
template <class Function, class Real>
struct ForwardRow {
  Real* y;
  const Real* x;

  template <class Columns>
  KOKKOS_INLINE_FUNCTION void operator()(const Columns& at) const {
    at.store(y, Function::both(at.load(x)).value);
  }
};

template <class Function, class Real>
struct BackwardRow {
  std::int64_t num_columns;
  Real *dx, *y;
  const Real *dy, *x;
  float* dbias;

  template <class Columns>
  KOKKOS_INLINE_FUNCTION void operator()(const Columns& at) const {
    const auto here = Function::both(at.load(x));
    const auto gradient = at.load(dy) * here.slope;
    at.store(dx, gradient);
    if (y != nullptr) at.store(y, here.value);
    if (dbias != nullptr) at.store(dbias, at.load(dbias) + gradient);
  }
};

// Of a gated activation: num_columns linear ones lie before the gates.
template <class Function, class Real>
struct GatedForwardRow {
  std::int64_t num_columns;
  Real* y;
  const Real* x;

  template <class Columns>
  KOKKOS_INLINE_FUNCTION void operator()(const Columns& at) const {
    at.store(y, at.load(x) * Function::both(at.load(x + num_columns)).value);
  }
};

template <class Function, class Real>
struct GatedBackwardRow {
  std::int64_t num_columns;
  Real *dx, *y;
  const Real *dy, *x;
  float* dbias;

  template <class Columns>
  KOKKOS_INLINE_FUNCTION void operator()(const Columns& at) const {
    const auto gate = Function::both(at.load(x + num_columns));
    const auto linear = at.load(x), dvalue = at.load(dy);
    const auto by_linear = dvalue * gate.value, by_gate = dvalue * linear * gate.slope;
    at.store(dx, by_linear);
    at.store(dx + num_columns, by_gate);
    if (y != nullptr) at.store(y, linear * gate.value);
    if (dbias == nullptr) return;
    at.store(dbias, at.load(dbias) + by_linear);
    at.store(dbias + num_columns, at.load(dbias + num_columns) + by_gate);
  }
};

template <class Function, class Real>
void forward_of(const Exec& exec, Tensor2<Real> y_NF, Tensor2<const Real> x_NF) {
  const std::int64_t num_columns = y_NF.extent(1);
  for_rows(
      exec, y_NF.extent(0), KOKKOS_LAMBDA(const Row& row) {
        row.each_columns(num_columns, ForwardRow<Function, Real>{row_data(y_NF, row.index()),
                                                                 row_data(x_NF, row.index())});
      });
}

template <class Function, class Real>
void gated_forward_of(const Exec& exec, Tensor2<Real> y_NF, Tensor2<const Real> x_N2F) {
  const std::int64_t num_columns = y_NF.extent(1);
  for_rows(
      exec, y_NF.extent(0), KOKKOS_LAMBDA(const Row& row) {
        row.each_columns(num_columns,
                         GatedForwardRow<Function, Real>{num_columns, row_data(y_NF, row.index()),
                                                         row_data(x_N2F, row.index())});
      });
}

// What a whole backward pass works on, one operand a member.
template <class Real>
struct BackwardOperands {
  Tensor2<Real> dx, y;
  Tensor2<float> dbias_P;  // partial sums of P blocks of rows
  Tensor2<const Real> dy, x;
};

// Rows are taken in blocks, so that the partial sums of the bias stay in the nearest cache.
template <class RowBody, class Real>
void backward_of(const Exec& exec, const BackwardOperands<Real>& all) {
  const std::int64_t num_rows = all.dy.extent(0), num_columns = all.dy.extent(1);
  const std::int64_t num_biases = all.dbias_P.extent(1), block_rows = rows_per_block(num_rows);
  for_rows(
      exec, divide_up(num_rows, block_rows), KOKKOS_LAMBDA(const Row& row) {
        float* dbias = row_data(all.dbias_P, row.index());
        if (dbias != nullptr) row.each(num_biases, [=](std::int64_t c) { dbias[c] = 0.0F; });
        const std::int64_t begin = row.index() * block_rows;
        const std::int64_t end = smaller(begin + block_rows, num_rows);
        for (std::int64_t n = begin; n < end; ++n) {
          row.each_columns(num_columns,
                           RowBody{num_columns, row_data(all.dx, n), row_data(all.y, n),
                                   row_data(all.dy, n), row_data(all.x, n), dbias});
        }
      });
}

template <template <class, class> class RowOf, class Real>
void backward(const Exec& exec, Activation kind, Tensor1<float> dbias, Write write,
              BackwardOperands<Real> all) {
  const bool with_bias = dbias.extent(0) != 0;
  ArenaScope scope(*exec.arena);
  if (with_bias) {
    const std::int64_t num_rows = all.dy.extent(0);
    all.dbias_P =
        exec.arena->take2<float>(divide_up(num_rows, rows_per_block(num_rows)), dbias.extent(0));
  }
  with_function(kind,
                [&](auto function) { backward_of<RowOf<decltype(function), Real>>(exec, all); });
  if (with_bias) column_sum<float>(exec, dbias, write, all.dbias_P);
}

}  // namespace

template <class Real>
void activation_forward(const Exec& exec, Activation kind, Tensor2<Real> y_NF,
                        Tensor2<const Real> x_NF) {
  const KernelRegion region("activation_forward");
  note_moved(exec, y_NF, x_NF);
  with_function(kind,
                [&](auto function) { forward_of<decltype(function), Real>(exec, y_NF, x_NF); });
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
