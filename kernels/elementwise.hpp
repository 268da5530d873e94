// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "kernels/exec.hpp"

namespace polyphase {

void fill(const Exec& exec, Tensor1<float> x, float value);
void add(const Exec& exec, Tensor1<float> y, Tensor1<const float> x);  // y += x
template <class Real>
void scale(const Exec& exec, Tensor1<Real> x, float factor);

// y = x in the other precision (round to nearest, ties to even), or a copy.
template <class Out, class In>
void convert(const Exec& exec, Tensor1<Out> y, Tensor1<const In> x);

// db_C = column sums of dy_NC, written or accumulated; the order of the sum depends on N alone.
template <class Real>
void column_sum(const Exec& exec, Tensor1<float> db_C, Write write, Tensor2<const Real> dy_NC);

// The same of several tensors of equal extents that lie one behind the other, in the launches of
// one: as many as there are sums, which the first of `sums` are, without elements behind them.
using ColumnSums = std::array<Tensor1<float>, 3>;
template <class Real>
void column_sums(const Exec& exec, const ColumnSums& sums, Write write, Tensor2<const Real> dy_NC);

// Sum of squares in float64; blocks of fixed size, added in order, whatever the number of threads.
double sum_of_squares(const Exec& exec, Tensor1<const float> x);

// Sum of magnitudes, added likewise.
double sum_of_magnitudes(const Exec& exec, Tensor1<const float> x);

// Whether every element is finite.
bool all_finite(const Exec& exec, Tensor1<const float> x);

// Copies from and to the host's memory; they wait until the host may use it (see staging.hpp).
template <class T>
void copy_to_device(const Exec& exec, Tensor1<T> to, const T* from);
template <class T>
void copy_to_host(const Exec& exec, T* to, Tensor1<const T> from);

}  // namespace polyphase
