// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

namespace polyphase {

// y_MC[m] = x_NC[rows_M[m]], or zeros where rows_M[m] < 0.
template <class Real>
void gather_rows(const Exec& exec, Tensor2<Real> y_MC, Tensor2<const Real> x_NC,
                 Tensor1<const std::int32_t> rows_M);

// y_RC[rows_N[n]] = columns [first_column, first_column + C) of x_NQ[n]; no row may occur twice;
// rows_N[n] < 0 is left out.
template <class Real>
void store_rows(const Exec& exec, Tensor2<Real> y_RC, Tensor1<const std::int32_t> rows_N,
                Tensor2<const Real> x_NQ, std::int64_t first_column);

// dx_NC[rows_M[m]] += dy_MC[m]; no row may occur twice; rows_M[m] < 0 is left out.
void scatter_rows(const Exec& exec, Tensor2<float> dx_NC, Tensor2<const float> dy_MC,
                  Tensor1<const std::int32_t> rows_M);

// y_BC[b] = mean of x_NC's rows [starts[b], starts[b+1]).
template <class Real>
void mean_rows(const Exec& exec, Tensor2<Real> y_BC, Tensor2<const Real> x_NC,
               Tensor1<const std::int32_t> starts);

// dx_NC[n] += dy_BC[b] / length of b, for every row n of sequence b.
void mean_rows_backward(const Exec& exec, Tensor2<float> dx_NC, Tensor2<const float> dy_BC,
                        Tensor1<const std::int32_t> starts);

}  // namespace polyphase
