// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/philox.hpp"
#include "kernels/copies.hpp"

namespace polyphase::test {

inline constexpr double kFloatEpsilon = std::numeric_limits<float>::epsilon();

// Relative error of storing a number as Real: half a unit in the last place, and one more for the
// float before it.
template <class Real>
inline constexpr double kStoreError = sizeof(Real) == 2 ? 1.0 / 256.0 : kFloatEpsilon;

// The execution space with an arena in its memory, and copies between it and vectors. Memory starts
// as NaNs, so that a kernel which reads what nobody wrote is found out.
class Device {
 public:
  explicit Device(std::size_t capacity_bytes = std::size_t{16} << 20)
      : base_(Kokkos::kokkos_malloc<Memory>(capacity_bytes)), arena_(base_, capacity_bytes) {
    const Tensor1<float> all(static_cast<float*>(base_), capacity_bytes / sizeof(float));
    fill(exec(), all, std::numeric_limits<float>::quiet_NaN());
  }
  ~Device() { Kokkos::kokkos_free<Memory>(base_); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  Exec exec() { return {Space(), &arena_}; }
  Arena& arena() { return arena_; }

  template <class T>
  Tensor1<T> put(const std::vector<T>& values) {
    const Tensor1<T> x = arena_.take1<T>(values.size());
    write_tensor(x, values);
    return x;
  }

  template <class T>
  Tensor2<T> put(const std::vector<T>& values, std::int64_t num_rows, std::int64_t num_columns) {
    return Tensor2<T>(put(values).data(), num_rows, num_columns);
  }

  // Reals of any precision, given as doubles that it can hold.
  template <class Real>
  Tensor1<Real> put_real(const std::vector<double>& values) {
    std::vector<Real> reals;
    for (const double value : values) reals.push_back(from_float<Real>(static_cast<float>(value)));
    return put(reals);
  }

  template <class Real>
  Tensor2<Real> put_real(const std::vector<double>& values, std::int64_t num_rows,
                         std::int64_t num_columns) {
    return Tensor2<Real>(put_real<Real>(values).data(), num_rows, num_columns);
  }

  template <class T>
  std::vector<T> get(const Tensor1<T>& x) {
    return read_tensor(x);
  }

  template <class Real>
  std::vector<double> get_real(const Tensor1<Real>& x) {
    std::vector<double> values;
    for (const Real real : get(x)) values.push_back(to_float(real));
    return values;
  }

  template <class Real>
  std::vector<double> get_real(const Tensor2<Real>& x) {
    return get_real(flat(x));
  }

 private:
  void* base_;
  Arena arena_;
};

// Numbers in [low, high) that a bf16 holds exactly, a function of the seed.
inline std::vector<double> random_reals(std::uint64_t seed, std::int64_t count, double low = -2.0,
                                        double high = 2.0) {
  std::vector<double> values(count);
  for (std::int64_t i = 0; i < count; ++i) {
    const double unit = philox(seed, i, 99).word[0] / 4294967296.0;
    values[i] = to_float(from_float<bf16>(static_cast<float>(low + (high - low) * unit)));
  }
  return values;
}

// Every element within its own tolerance of what is expected; a NaN is never close.
inline void expect_close(const std::string& what, const std::vector<double>& actual,
                         const std::vector<double>& expected,
                         const std::vector<double>& tolerance) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  int num_shown = 0;
  for (std::size_t i = 0; i < actual.size() && num_shown < 5; ++i) {
    if (std::abs(actual[i] - expected[i]) <= tolerance[i]) continue;
    ADD_FAILURE() << what << "[" << i << "] is " << actual[i] << ", expected " << expected[i]
                  << " within " << tolerance[i];
    ++num_shown;
  }
}

inline void expect_close(const std::string& what, const std::vector<double>& actual,
                         const std::vector<double>& expected, double tolerance) {
  expect_close(what, actual, expected, std::vector<double>(expected.size(), tolerance));
}

// The derivative of loss() by *x: central differences in float64.
template <class Loss>
double central_difference(double* x, const Loss& loss) {
  constexpr double kStep = 1e-5;
  const double kept = *x;
  *x = kept + kStep;
  const double above = loss();
  *x = kept - kStep;
  const double below = loss();
  *x = kept;
  return (above - below) / (2.0 * kStep);
}

// What central differences themselves are wrong by, for losses and third derivatives of the order
// of 10.
inline constexpr double kDifferenceError = 1e-8;

}  // namespace polyphase::test
