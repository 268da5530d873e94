// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/row_kernels.hpp"

// Attention as plain loops in float64 (Vaswani et al., 2017, eq. 1), its gradient, and bounds on
// what a kernel with float32 sums may differ by.
namespace polyphase::reference {

// Relative errors of one step of a kernel's arithmetic.
struct Precision {
  double sum;    // of a float32 operation
  double store;  // of rounding probabilities, dS and results to the kernel's type
};

// A value with the bound of its error.
struct Bounded {
  Values value, error;
  explicit Bounded(std::int64_t count = 0) : value(count, 0.0), error(count, 0.0) {}
};

struct Attention {
  std::vector<std::int32_t> starts;
  std::int64_t num_rows = 0, num_heads = 1, head_width = 1, first_head = 0;
  bool causal = false;
  double rate = 0.0;
  std::uint64_t key = 0;
  std::vector<std::uint64_t> row_ids;
  Values qkv, dout;  // N × 3C and N × C
  Precision precision{};

  std::int64_t width() const { return num_heads * head_width; }
  std::int64_t at(std::int64_t n, int part, std::int64_t h, std::int64_t c) const {
    return (3 * n + part) * width() + h * head_width + c;
  }
  double q(std::int64_t n, std::int64_t h, std::int64_t c) const { return qkv[at(n, 0, h, c)]; }
  double k(std::int64_t n, std::int64_t h, std::int64_t c) const { return qkv[at(n, 1, h, c)]; }
  double v(std::int64_t n, std::int64_t h, std::int64_t c) const { return qkv[at(n, 2, h, c)]; }
  double dy(std::int64_t n, std::int64_t h, std::int64_t c) const {
    return dout[n * width() + h * head_width + c];
  }
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(head_width)); }
  double mask(std::int64_t n, std::int64_t j, std::int64_t h) const {
    if (rate == 0.0) return 1.0;
    const std::uint64_t block = static_cast<std::uint64_t>(first_head + h) << 32 | j / 8;
    const std::uint32_t word = philox(key, row_ids[n], block).word[j % 8 / 2];
    const std::uint32_t bits = j % 2 == 0 ? word & 0xFFFFU : word >> 16;
    return bits >= std::floor(rate * 65536.0 + 0.5) ? 1.0 / (1.0 - rate) : 0.0;
  }

  // Softmax of row n over the keys of its sequence [first, last), with the bound of the
  // probabilities' relative error.
  struct Row {
    Values p;
    double log_sum = 0.0, error = 0.0;
  };
  Row softmax(std::int64_t n, std::int64_t h, std::int64_t first, std::int64_t last) const {
    Row row;
    const std::int64_t end = causal ? n + 1 : last;
    double largest = -1e300, total = 0.0, magnitude = 0.0;
    for (std::int64_t j = first; j < end; ++j) {
      double score = 0.0, terms = 0.0;
      for (std::int64_t c = 0; c < head_width; ++c) {
        score += q(n, h, c) * k(j, h, c);
        terms += std::abs(q(n, h, c) * k(j, h, c));
      }
      row.p.push_back(score * scale());
      largest = std::max(largest, row.p.back());
      magnitude = std::max(magnitude, terms * scale());
    }
    for (double& p : row.p) total += p = std::exp(p - largest);
    for (double& p : row.p) p /= total;
    row.p.resize(last - first, 0.0);
    row.log_sum = largest + std::log(total);
    // exp of a score that is wrong by (D + 4) roundings of its terms and by that of log_sum; then
    // the sum's own error.
    row.error = precision.sum * (2.0 * (head_width + 4) * magnitude + 2.0 * std::abs(row.log_sum) +
                                 static_cast<double>(end - first) + 8.0);
    return row;
  }

  template <class Body>
  void each_row(const Body& body) const {  // body(row, head, first and last row of its sequence)
    for (std::size_t b = 0; b + 1 < starts.size(); ++b) {
      for (std::int64_t n = starts[b]; n < starts[b + 1]; ++n) {
        for (std::int64_t h = 0; h < num_heads; ++h) body(n, h, starts[b], starts[b + 1]);
      }
    }
  }

  struct Forward {
    Bounded out, log_sum;
  };
  Forward forward() const {
    Forward y{Bounded(num_rows * width()), Bounded(num_rows * num_heads)};
    each_row([&](std::int64_t n, std::int64_t h, std::int64_t first, std::int64_t last) {
      const Row row = softmax(n, h, first, last);
      y.log_sum.value[n * num_heads + h] = row.log_sum;
      y.log_sum.error[n * num_heads + h] = row.error;
      for (std::int64_t c = 0; c < head_width; ++c) {
        double sum = 0.0, terms = 0.0;
        for (std::int64_t j = first; j < last; ++j) {
          const double term = row.p[j - first] * mask(n, j - first, h) * v(j, h, c);
          sum += term;
          terms += std::abs(term);
        }
        const std::int64_t i = n * width() + h * head_width + c;
        y.out.value[i] = sum;
        y.out.error[i] =
            terms * (row.error + precision.store + precision.sum * (last - first + 4)) +
            std::abs(sum) * precision.store;
      }
    });
    return y;
  }

  double loss() const {
    const Values out = forward().out.value;
    double sum = 0.0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * dout[i];
    return sum;
  }

  // dqkv; the kernel is taken to know `out` only as well as forward() bounds it.
  Bounded backward() const {
    Bounded d(num_rows * 3 * width());
    const Bounded out = forward().out;
    each_row([&](std::int64_t n, std::int64_t h, std::int64_t first, std::int64_t last) {
      const Row row = softmax(n, h, first, last);
      double delta = 0.0, delta_error = 0.0;
      for (std::int64_t c = 0; c < head_width; ++c) {
        const std::int64_t i = n * width() + h * head_width + c;
        delta += out.value[i] * dout[i];
        delta_error += std::abs(dout[i]) * (out.error[i] + std::abs(out.value[i]) * precision.sum *
                                                               static_cast<double>(head_width));
      }
      for (std::int64_t j = first; j < last; ++j) {
        add_pair(d, n, j, h, row.p[j - first], mask(n, j - first, h), row.error, delta, delta_error,
                 precision.sum * static_cast<double>(last - first + 4));
      }
    });
    for (std::size_t i = 0; i < d.value.size(); ++i) {
      d.error[i] += std::abs(d.value[i]) * precision.store;
    }
    return d;
  }

 private:
  // What query n and key j add to the gradients. p_error and sum_error are relative.
  void add_pair(Bounded& d, std::int64_t n, std::int64_t j, std::int64_t h, double p, double m,
                double p_error, double delta, double delta_error, double sum_error) const {
    double dp = 0.0, terms = 0.0;
    for (std::int64_t c = 0; c < head_width; ++c) {
      dp += dy(n, h, c) * v(j, h, c);
      terms += std::abs(dy(n, h, c) * v(j, h, c));
    }
    const double ds = p * (m * dp - delta) * scale();
    const double ds_error =
        p * scale() *
            (p_error * (std::abs(m * dp) + std::abs(delta)) + delta_error +
             precision.sum * (m * terms * static_cast<double>(head_width + 2) + std::abs(delta))) +
        std::abs(ds) * (precision.store + sum_error);
    for (std::int64_t c = 0; c < head_width; ++c) {
      const auto add = [&](int part, std::int64_t row, double value, double error) {
        d.value[at(row, part, h, c)] += value;
        d.error[at(row, part, h, c)] += error;
      };
      add(0, n, ds * k(j, h, c), ds_error * std::abs(k(j, h, c)));
      add(1, j, ds * q(n, h, c), ds_error * std::abs(q(n, h, c)));
      add(2, j, p * m * dy(n, h, c),
          std::abs(p * m * dy(n, h, c)) * (p_error + precision.store + sum_error));
    }
  }
};

}  // namespace polyphase::reference
