// SPDX-License-Identifier: Apache-2.0
#include "metrics/correlation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.hpp"

namespace polyphase {
namespace {

// Values less their mean.
std::vector<double> centred(const std::vector<double>& values) {
  const double mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  std::vector<double> result;
  for (const double value : values) result.push_back(value - mean);
  return result;
}

bool holds_no_order(const std::vector<double>& values) {
  const bool has_nan =
      std::any_of(values.begin(), values.end(), [](double value) { return std::isnan(value); });
  return has_nan || values.size() < 2 ||
         std::all_of(values.begin(), values.end(),
                     [&](double value) { return value == values.front(); });
}

}  // namespace

double pearson_correlation(const std::vector<double>& x, const std::vector<double>& y) {
  POLYPHASE_PROMISE(x.size() == y.size(), "correlation of {} values with {}", x.size(), y.size());
  // A constant list is found by its values: its mean may be off by rounding.
  if (holds_no_order(x) || holds_no_order(y)) return std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> dx = centred(x), dy = centred(y);
  const double product = std::inner_product(dx.begin(), dx.end(), dy.begin(), 0.0);
  const double norm_x = std::sqrt(std::inner_product(dx.begin(), dx.end(), dx.begin(), 0.0));
  const double norm_y = std::sqrt(std::inner_product(dy.begin(), dy.end(), dy.begin(), 0.0));
  return std::clamp(product / norm_x / norm_y, -1.0, 1.0);
}

std::vector<double> average_ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    const double rank = 0.5 * static_cast<double>(begin + 1 + end);
    for (std::size_t i = begin; i < end; ++i) ranks[order[i]] = rank;
  }
  return ranks;
}

double spearman_correlation(const std::vector<double>& x, const std::vector<double>& y) {
  POLYPHASE_PROMISE(x.size() == y.size(), "correlation of {} values with {}", x.size(), y.size());
  // Ranks of what is not a number would not be an order.
  if (holds_no_order(x) || holds_no_order(y)) return std::numeric_limits<double>::quiet_NaN();
  return pearson_correlation(average_ranks(x), average_ranks(y));
}

}  // namespace polyphase
