// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/philox.hpp"

// The kernels over rows as plain loops in float64, to be read beside the formulas and compared with
// the fast ones.
namespace polyphase::reference {

using Values = std::vector<double>;

// What keyed dropout multiplies element (row id, column) by.
inline double dropout_factor(std::uint64_t key, double rate, std::uint64_t row_id, int column) {
  if (rate == 0.0) return 1.0;
  const PhiloxWords words = philox(key, row_id, column / 8);
  const int lane = column % 8;
  const std::uint32_t word = words.word[lane / 2];
  const std::uint32_t bits = lane % 2 == 0 ? word & 0xFFFFU : word >> 16;
  return bits >= std::floor(rate * 65536.0 + 0.5) ? 1.0 / (1.0 - rate) : 0.0;
}

// One row of sum = residual + factor · (update + bias), y = (sum - mean) · rstd · gain + shift; a
// norm that is not centred leaves out the mean.
struct NormRow {
  Values residual, update, bias, factor;
  Values gain, shift;
  double epsilon = 0.0;
  bool centred = true;

  Values sum() const {
    Values s = residual;
    for (std::size_t c = 0; c < update.size(); ++c) s[c] += factor[c] * (update[c] + bias[c]);
    return s;
  }
  double mean(const Values& s) const {
    if (!centred) return 0.0;
    double total = 0.0;
    for (const double value : s) total += value;
    return total / s.size();
  }
  double rstd(const Values& s) const {
    const double m = mean(s);
    double total = 0.0;
    for (const double value : s) total += (value - m) * (value - m);
    return 1.0 / std::sqrt(total / s.size() + epsilon);
  }
  Values y() const {
    const Values s = sum();
    const double m = mean(s), r = rstd(s);
    Values result(s.size());
    for (std::size_t c = 0; c < s.size(); ++c)
      result[c] = (s[c] - m) * r * gain[c] + (shift.empty() ? 0.0 : shift[c]);
    return result;
  }
};

inline double gelu(double x) { return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0))); }

inline double gelu_tanh(double x) {
  const double pi = std::acos(-1.0);
  return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / pi) * (x + 0.044715 * x * x * x)));
}

inline double silu(double x) { return x / (1.0 + std::exp(-x)); }

inline double relu(double x) { return x > 0.0 ? x : 0.0; }

inline double log_sum_exp(const Values& logits) {
  double largest = logits[0];
  for (const double logit : logits) largest = std::max(largest, logit);
  double total = 0.0;
  for (const double logit : logits) total += std::exp(logit - largest);
  return largest + std::log(total);
}

// AdamW with decoupled decay: one parameter through one step.
struct AdamWParameter {
  double parameter, moment1, moment2;

  void update(double gradient, double rate, double beta1, double beta2, double epsilon,
              double decay, int step) {
    parameter -= rate * decay * parameter;
    moment1 = beta1 * moment1 + (1.0 - beta1) * gradient;
    moment2 = beta2 * moment2 + (1.0 - beta2) * gradient * gradient;
    const double unbiased1 = moment1 / (1.0 - std::pow(beta1, step));
    const double unbiased2 = moment2 / (1.0 - std::pow(beta2, step));
    parameter -= rate * unbiased1 / (std::sqrt(unbiased2) + epsilon);
  }
};

}  // namespace polyphase::reference
