// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/device.hpp"
#include "kernels/matmul.hpp"

// Random products, and what they are in plain loops.
namespace polyphase::test {

inline constexpr auto kNo = Transpose::kNo, kYes = Transpose::kYes;

struct ProductCase {
  std::int64_t m, n, k;
  Transpose op_a = Transpose::kNo, op_b = Transpose::kNo;
  bool bias = false;
  Write write = Write::kOverwrite;
};

// Operands, and y = op(a) · op(b) + bias + y as plain loops; each error is bounded by the roundings
// of K terms.
struct Product {
  std::vector<double> a, b, bias, y, expected, error;

  Product(const ProductCase& c, double store_error)
      : a(random_reals(1, c.m * c.k)),
        b(random_reals(2, c.k * c.n)),
        bias(c.bias ? random_reals(3, c.n) : std::vector<double>()),
        y(random_reals(4, c.m * c.n)) {
    const auto element = [](const std::vector<double>& x, Transpose op, std::int64_t rows,
                            std::int64_t columns, std::int64_t i, std::int64_t j) {
      return op == Transpose::kNo ? x[i * columns + j] : x[j * rows + i];
    };
    for (std::int64_t i = 0; i < c.m; ++i) {
      for (std::int64_t j = 0; j < c.n; ++j) {
        double sum = c.bias ? bias[j] : 0.0;
        if (c.write == Write::kAccumulate) sum += y[i * c.n + j];
        double terms = std::abs(sum);
        for (std::int64_t k = 0; k < c.k; ++k) {
          const double term =
              element(a, c.op_a, c.m, c.k, i, k) * element(b, c.op_b, c.k, c.n, k, j);
          sum += term;
          terms += std::abs(term);
        }
        expected.push_back(sum);
        error.push_back(static_cast<double>(c.k + 2) * kFloatEpsilon * terms +
                        std::abs(sum) * store_error);
      }
    }
  }
};

}  // namespace polyphase::test
