// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.hpp"

#include "kernels/dropout_row.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/math.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

// One row of the residual chain: sum = residual + dropout(update + bias). Returns the total of the
// row.
KOKKOS_INLINE_FUNCTION float add_row(const Row& row, std::int64_t num_columns, float* sum,
                                     const float* residual, const float* update, const float* bias,
                                     const DropoutRule& rule, bool with_dropout) {
  if (update == nullptr) {
    return row.sum(num_columns, [=](std::int64_t c) { return sum[c] = residual[c]; });
  }
  if (!with_dropout) {
    return row.sum(num_columns, [=](std::int64_t c) {
      return sum[c] = residual[c] + (update[c] + (bias == nullptr ? 0.0F : bias[c]));
    });
  }
  each_with_dropout(
      row, num_columns, rule, rule.row_ids_N(row.index()), [=](std::int64_t c, float factor) {
        sum[c] = residual[c] + (update[c] + (bias == nullptr ? 0.0F : bias[c])) * factor;
      });
  return row.sum(num_columns, [=](std::int64_t c) { return sum[c]; });
}

}  // namespace

template <class Real>
void add_norm_forward(const Exec& exec, Tensor2<float> sum_NC, Tensor2<Real> y_NC,
                      Tensor2<float> y_float_NC, Tensor1<float> mean_N, Tensor1<float> rstd_N,
                      Tensor2<const float> residual_NC, Tensor2<const float> update_NC,
                      Tensor1<const float> bias_C, Tensor1<const float> gain_C,
                      Tensor1<const float> shift_C, const Norm& norm, const Dropout& dropout) {
  const KernelRegion region("add_norm_forward");
  note_moved(exec, sum_NC, y_NC, y_float_NC, residual_NC, update_NC);
  const std::int64_t num_columns = residual_NC.extent(1);
  const float* bias = bias_C.extent(0) == 0 ? nullptr : bias_C.data();
  const float* shift = shift_C.extent(0) == 0 ? nullptr : shift_C.data();
  const bool with_dropout = dropout.rate != 0.0F;
  // A root-mean-square norm is a layer norm whose mean is taken as 0.
  const bool centred = norm.kind == NormKind::kLayer, normalises = norm.kind != NormKind::kNone;
  const float epsilon = norm.epsilon;
  const DropoutRule rule(dropout);
  for_rows(
      exec, residual_NC.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const std::int64_t n = row.index();
        float* sum = row_data(sum_NC, n);
        const float total = add_row(row, num_columns, sum, row_data(residual_NC, n),
                                    row_data(update_NC, n), bias, rule, with_dropout);
        Real* y = row_data(y_NC, n);
        float* y_float = row_data(y_float_NC, n);
        if (!normalises) {
          row.each(num_columns, [=](std::int64_t c) {
            y[c] = from_float<Real>(sum[c]);
            if (y_float != nullptr) y_float[c] = sum[c];
          });
          return;
        }
        const float mean = centred ? total / static_cast<float>(num_columns) : 0.0F;
        const float squares = row.sum(num_columns, [=](std::int64_t c) {
          const float deviation = sum[c] - mean;
          return deviation * deviation;
        });
        const float rstd = 1.0F / math::sqrt(squares / static_cast<float>(num_columns) + epsilon);
        if (centred) mean_N(n) = mean;
        rstd_N(n) = rstd;
        const float* gain = gain_C.data();
        row.each(num_columns, [=](std::int64_t c) {
          const float value =
              (sum[c] - mean) * rstd * gain[c] + (shift == nullptr ? 0.0F : shift[c]);
          y[c] = from_float<Real>(value);
          if (y_float != nullptr) y_float[c] = value;
        });
      });
}

namespace {

// Everything that add_norm_backward was given, in one value that a kernel can capture. Loops take
// copies of what they read: a member reached through `this` would be read again for each element.
template <class Real>
struct NormBackward {
  Tensor2<float> dsum_NC;
  Tensor2<Real> dupdate_NC;
  Tensor2<float> dgain_PC, dshift_PC, dbias_PC;  // partial sums of P blocks of rows
  Tensor2<const float> dy_NC, dskip_NC, sum_NC;
  Tensor1<const float> mean_N, rstd_N, gain_C;
  NormPlace place;
  NormKind kind;

  KOKKOS_INLINE_FUNCTION void begin_block(const Row& row, std::int64_t num_columns) const {
    clear(row, num_columns, row_data(dgain_PC, row.index()));
    clear(row, num_columns, row_data(dshift_PC, row.index()));
    clear(row, num_columns, row_data(dbias_PC, row.index()));
  }

  KOKKOS_INLINE_FUNCTION static void clear(const Row& row, std::int64_t num_columns, float* x) {
    if (x != nullptr) row.each(num_columns, [=](std::int64_t c) { x[c] = 0.0F; });
  }

  // The gradient of row n's sum, and what the row adds to the gradients of gain and shift.
  KOKKOS_INLINE_FUNCTION void norm_row(const Row& row, std::int64_t n,
                                       std::int64_t num_columns) const {
    if (kind == NormKind::kNone) return pass_row(row, n, num_columns);
    const float *dy = row_data(dy_NC, n), *sum = row_data(sum_NC, n), *gain = gain_C.data();
    const bool centred = kind == NormKind::kLayer;
    const float mean = centred ? mean_N(n) : 0.0F, rstd = rstd_N(n);
    // Without a branch in the loops: a skip that joins neither has the factor 0 twice.
    const bool with_skip = dskip_NC.extent(0) != 0, post = place == NormPlace::kPost;
    const float* skip = with_skip ? row_data(dskip_NC, n) : dy;
    const float to_output = with_skip && post ? 1.0F : 0.0F;
    const float to_sum = with_skip && !post ? 1.0F : 0.0F;
    const Pair totals = row.sum_pair(num_columns, [=](std::int64_t c) {
      const float scaled = (dy[c] + to_output * skip[c]) * gain[c];
      return Pair{scaled, scaled * ((sum[c] - mean) * rstd)};
    });
    const float share = 1.0F / static_cast<float>(num_columns);
    const float mean_gradient = centred ? totals.first * share : 0.0F,
                mean_product = totals.second * share;
    float *dsum = row_data(dsum_NC, n), *dgain = row_data(dgain_PC, row.index()),
          *dshift = row_data(dshift_PC, row.index());
    row.each(num_columns, [=](std::int64_t c) {
      const float normalised = (sum[c] - mean) * rstd;
      const float skipped = skip[c];
      const float gradient = dy[c] + to_output * skipped;
      dgain[c] += gradient * normalised;
      if (dshift != nullptr) dshift[c] += gradient;
      dsum[c] = rstd * (gradient * gain[c] - mean_gradient - normalised * mean_product) +
                to_sum * skipped;
    });
  }

  // The same of a row that is not normalised.
  KOKKOS_INLINE_FUNCTION void pass_row(const Row& row, std::int64_t n,
                                       std::int64_t num_columns) const {
    const float *dy = row_data(dy_NC, n), *skip = row_data(dskip_NC, n);
    float* dsum = row_data(dsum_NC, n);
    row.each(num_columns,
             [=](std::int64_t c) { dsum[c] = skip == nullptr ? dy[c] : dy[c] + skip[c]; });
  }

  // The gradient of row n's update, and what the row adds to the gradient of the bias.
  KOKKOS_INLINE_FUNCTION void update_row(const Row& row, std::int64_t n, std::int64_t num_columns,
                                         const DropoutRule& rule, bool with_dropout) const {
    const float* dsum = row_data(dsum_NC, n);
    Real* dupdate = row_data(dupdate_NC, n);
    float* dbias = row_data(dbias_PC, row.index());
    if (dupdate == nullptr) {
      finish_row(row, num_columns, rule, n, with_dropout,
                 [=](std::int64_t c, float factor) { dbias[c] += dsum[c] * factor; });
    } else {
      finish_row(row, num_columns, rule, n, with_dropout, [=](std::int64_t c, float factor) {
        const float masked = dsum[c] * factor;
        dupdate[c] = from_float<Real>(masked);
        dbias[c] += masked;
      });
    }
  }

  template <class Body>
  KOKKOS_INLINE_FUNCTION static void finish_row(const Row& row, std::int64_t num_columns,
                                                const DropoutRule& rule, std::int64_t n,
                                                bool with_dropout, const Body& body) {
    if (with_dropout) {
      each_with_dropout(row, num_columns, rule, rule.row_ids_N(n), body);
    } else {
      row.each(num_columns, [=](std::int64_t c) { body(c, 1.0F); });
    }
  }
};

template <class Real>
void backward_blocks(const Exec& exec, const NormBackward<Real>& given, const Dropout& dropout) {
  const std::int64_t num_rows = given.dy_NC.extent(0), num_columns = given.dy_NC.extent(1);
  const bool with_dropout = dropout.rate != 0.0F, with_update = given.dbias_PC.extent(0) != 0;
  const DropoutRule rule(dropout);
  const std::int64_t block_rows = rows_per_block(num_rows);
  for_rows(
      exec, given.dgain_PC.extent(0), KOKKOS_LAMBDA(const Row& row) {
        given.begin_block(row, num_columns);
        const std::int64_t begin = row.index() * block_rows;
        const std::int64_t end = smaller(begin + block_rows, num_rows);
        for (std::int64_t n = begin; n < end; ++n) {
          given.norm_row(row, n, num_columns);
          if (with_update) given.update_row(row, n, num_columns, rule, with_dropout);
        }
      });
}

}  // namespace

template <class Real>
void add_norm_backward(const Exec& exec, Tensor2<float> dsum_NC, Tensor2<Real> dupdate_NC,
                       Tensor1<float> dgain_C, Tensor1<float> dshift_C, Tensor1<float> dbias_C,
                       Write write, Tensor2<const float> dy_NC, Tensor2<const float> dskip_NC,
                       NormPlace place, Tensor2<const float> sum_NC, Tensor1<const float> mean_N,
                       Tensor1<const float> rstd_N, Tensor1<const float> gain_C, NormKind kind,
                       const Dropout& dropout) {
  const KernelRegion region("add_norm_backward");
  note_moved(exec, dsum_NC, dupdate_NC, dy_NC, dskip_NC, sum_NC);
  const std::int64_t num_rows = dy_NC.extent(0);
  const std::int64_t num_blocks = divide_up(num_rows, rows_per_block(num_rows));
  const std::int64_t num_columns = dy_NC.extent(1);
  const bool with_bias = dbias_C.extent(0) != 0, with_shift = dshift_C.extent(0) != 0;
  const bool with_gain = kind != NormKind::kNone;
  const bool with_update = with_bias || dupdate_NC.extent(0) != 0;
  ArenaScope scope(*exec.arena);
  // Partial sums side by side: of the gain, which are there in any case, the shift, the bias.
  const std::int64_t num_partials = 1 + (with_shift ? 1 : 0) + (with_update ? 1 : 0);
  const auto partials_PC = exec.arena->take2<float>(num_partials * num_blocks, num_columns);
  const auto partial = [&](std::int64_t number) {
    return rows(partials_PC, number * num_blocks, num_blocks);
  };
  const NormBackward<Real> given{dsum_NC,
                                 dupdate_NC,
                                 partial(0),
                                 with_shift ? partial(1) : Tensor2<float>(),
                                 with_update ? partial(num_partials - 1) : Tensor2<float>(),
                                 dy_NC,
                                 dskip_NC,
                                 sum_NC,
                                 mean_N,
                                 rstd_N,
                                 gain_C,
                                 place,
                                 kind};
  backward_blocks(exec, given, dropout);
  ColumnSums sums;
  std::int64_t num_sums = 0;
  for (const Tensor1<float>& sum : {dgain_C, dshift_C, dbias_C})
    if (sum.extent(0) != 0) sums[static_cast<std::size_t>(num_sums++)] = sum;
  column_sums<float>(
      exec, sums, write,
      rows(Tensor2<const float>(partials_PC), with_gain ? 0 : num_blocks, num_sums * num_blocks));
}

template <class Real>
void norm_again(const Exec& exec, Tensor2<Real> y_NC, Tensor2<const float> sum_NC,
                Tensor1<const float> mean_N, Tensor1<const float> rstd_N,
                Tensor1<const float> gain_C, Tensor1<const float> shift_C, NormKind kind) {
  const KernelRegion region("norm_again");
  note_moved(exec, y_NC, sum_NC);
  const std::int64_t num_columns = sum_NC.extent(1);
  const float* shift = shift_C.extent(0) == 0 ? nullptr : shift_C.data();
  const bool centred = kind == NormKind::kLayer, normalises = kind != NormKind::kNone;
  for_rows(
      exec, sum_NC.extent(0), KOKKOS_LAMBDA(const Row& row) {
        const float* sum = row_data(sum_NC, row.index());
        Real* y = row_data(y_NC, row.index());
        if (!normalises) {
          row.each(num_columns, [=](std::int64_t c) { y[c] = from_float<Real>(sum[c]); });
          return;
        }
        const float mean = centred ? mean_N(row.index()) : 0.0F, rstd = rstd_N(row.index());
        const float* gain = gain_C.data();
        row.each(num_columns, [=](std::int64_t c) {
          y[c] = from_float<Real>((sum[c] - mean) * rstd * gain[c] +
                                  (shift == nullptr ? 0.0F : shift[c]));
        });
      });
}

#define POLYPHASE_NORM(Real)                                                                       \
  template void add_norm_forward<Real>(                                                            \
      const Exec&, Tensor2<float>, Tensor2<Real>, Tensor2<float>, Tensor1<float>, Tensor1<float>,  \
      Tensor2<const float>, Tensor2<const float>, Tensor1<const float>, Tensor1<const float>,      \
      Tensor1<const float>, const Norm&, const Dropout&);                                          \
  template void add_norm_backward<Real>(                                                           \
      const Exec&, Tensor2<float>, Tensor2<Real>, Tensor1<float>, Tensor1<float>, Tensor1<float>,  \
      Write, Tensor2<const float>, Tensor2<const float>, NormPlace, Tensor2<const float>,          \
      Tensor1<const float>, Tensor1<const float>, Tensor1<const float>, NormKind, const Dropout&); \
  template void norm_again<Real>(const Exec&, Tensor2<Real>, Tensor2<const float>,                 \
                                 Tensor1<const float>, Tensor1<const float>, Tensor1<const float>, \
                                 Tensor1<const float>, NormKind);
POLYPHASE_NORM(float)
POLYPHASE_NORM(bf16)
#undef POLYPHASE_NORM

}  // namespace polyphase
