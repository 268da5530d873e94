// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/row_kernels.hpp"

// Attention as plain loops in float64 (Vaswani et al., 2017, eq. 1), its gradients, and bounds on
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

// The bucket of a relative position, found by stepping over the buckets' edges.
inline std::int64_t position_bucket(std::int64_t offset, std::int64_t num_buckets,
                                    bool bidirectional, double max_distance) {
  const std::int64_t num = bidirectional ? num_buckets / 2 : num_buckets;
  const std::int64_t exact = num / 2;
  const bool ahead = offset > 0;
  const std::int64_t distance = ahead && !bidirectional ? 0 : std::abs(offset);
  std::int64_t bucket = std::min(distance, exact);
  while (distance >= exact && bucket + 1 < num) {
    const double share = static_cast<double>(bucket + 1 - exact) / (num - exact);
    if (distance < exact * std::pow(max_distance / exact, share) - 1e-6) break;
    ++bucket;
  }
  return bucket + (ahead && bidirectional ? num : 0);
}

struct Attention {
  std::vector<std::int32_t> starts;      // of queries
  std::vector<std::int32_t> key_starts;  // of keys
  std::vector<std::int32_t> prefix;      // or empty
  std::int64_t num_rows = 0, num_key_rows = 0;
  std::int64_t num_heads = 1, num_key_heads = 1, head_width = 1, first_head = 0;
  bool causal = false, bidirectional = true;
  double score_scale = 1.0, max_distance = 128.0;
  double rate = 0.0;
  std::uint64_t key = 0;
  std::vector<std::uint64_t> row_ids;
  Values q, k, v, dout;  // N × C, S × key heads' columns twice, N × C
  Values table;          // U × H, or empty
  Precision precision{};

  std::int64_t width() const { return num_heads * head_width; }
  std::int64_t key_width() const { return num_key_heads * head_width; }
  std::int64_t num_buckets() const { return static_cast<std::int64_t>(table.size()) / num_heads; }
  std::int64_t group() const { return num_heads / num_key_heads; }
  std::int64_t query_at(std::int64_t n, std::int64_t h, std::int64_t c) const {
    return n * width() + h * head_width + c;
  }
  // Of the key head that query head h reads.
  std::int64_t key_at(std::int64_t row, std::int64_t h, std::int64_t c) const {
    return row * key_width() + h / group() * head_width + c;
  }
  double mask(std::int64_t n, std::int64_t j, std::int64_t h) const {
    if (rate == 0.0) return 1.0;
    const std::uint64_t block = static_cast<std::uint64_t>(first_head + h) << 32 | j / 8;
    const std::uint32_t word = philox(key, row_ids[n], block).word[j % 8 / 2];
    const std::uint32_t bits = j % 2 == 0 ? word & 0xFFFFU : word >> 16;
    return bits >= std::floor(rate * 65536.0 + 0.5) ? 1.0 / (1.0 - rate) : 0.0;
  }

  // One query row, and the sequence that it attends to.
  struct Place {
    std::int64_t sequence, n, h;
    std::int64_t first_key, num_keys, num_queries, position;  // position: the query's, among keys
  };
  bool sees(const Place& at, std::int64_t j) const {
    return !causal || j <= at.position || (!prefix.empty() && j < prefix[at.sequence]);
  }
  // Where the table holds what is added to the score of key j.
  std::int64_t table_at(const Place& at, std::int64_t j) const {
    return position_bucket(j - at.position, num_buckets(), bidirectional, max_distance) *
               num_heads +
           at.h;
  }

  // Softmax of a row over the keys of its sequence, with the bound of the probabilities' relative
  // error. A row that sees nothing has only zeros.
  struct Row {
    Values p;
    double log_sum = 0.0, error = 0.0;
  };
  Row softmax(const Place& at) const {
    Row row{Values(at.num_keys, 0.0)};
    double largest = -1e300, total = 0.0, magnitude = 0.0;
    std::vector<std::int64_t> seen;
    for (std::int64_t j = 0; j < at.num_keys; ++j) {
      if (!sees(at, j)) continue;
      double score = 0.0, terms = 0.0;
      for (std::int64_t c = 0; c < head_width; ++c) {
        const double term = q[query_at(at.n, at.h, c)] * k[key_at(at.first_key + j, at.h, c)];
        score += term;
        terms += std::abs(term);
      }
      const double bias = table.empty() ? 0.0 : table[table_at(at, j)];
      row.p[j] = score * score_scale + bias;
      seen.push_back(j);
      largest = std::max(largest, row.p[j]);
      magnitude = std::max(magnitude, terms * score_scale + std::abs(bias));
    }
    if (seen.empty()) return row;
    for (const std::int64_t j : seen) total += row.p[j] = std::exp(row.p[j] - largest);
    for (double& p : row.p) p /= total;
    row.log_sum = largest + std::log(total);
    // exp of a score that is wrong by (D + 4) roundings of its terms and by that of log_sum; then
    // the sum's own error.
    row.error = precision.sum * (2.0 * (head_width + 4) * magnitude + 2.0 * std::abs(row.log_sum) +
                                 static_cast<double>(seen.size()) + 8.0);
    return row;
  }

  template <class Body>
  void each_row(const Body& body) const {
    for (std::size_t b = 0; b + 1 < starts.size(); ++b) {
      const std::int64_t num_queries = starts[b + 1] - starts[b];
      const std::int64_t num_keys = key_starts[b + 1] - key_starts[b];
      for (std::int64_t r = 0; r < num_queries; ++r) {
        for (std::int64_t h = 0; h < num_heads; ++h) {
          body(Place{static_cast<std::int64_t>(b), starts[b] + r, h, key_starts[b], num_keys,
                     num_queries, num_keys - num_queries + r});
        }
      }
    }
  }

  struct Forward {
    Bounded out, log_sum;
  };
  Forward forward() const {
    Forward y{Bounded(num_rows * width()), Bounded(num_rows * num_heads)};
    each_row([&](const Place& at) {
      const Row row = softmax(at);
      y.log_sum.value[at.n * num_heads + at.h] = row.log_sum;
      y.log_sum.error[at.n * num_heads + at.h] = row.error;
      for (std::int64_t c = 0; c < head_width; ++c) {
        double sum = 0.0, terms = 0.0;
        for (std::int64_t j = 0; j < at.num_keys; ++j) {
          const double term = row.p[j] * mask(at.n, j, at.h) * v[key_at(at.first_key + j, at.h, c)];
          sum += term;
          terms += std::abs(term);
        }
        const std::int64_t i = query_at(at.n, at.h, c);
        y.out.value[i] = sum;
        y.out.error[i] = terms * (row.error + precision.store +
                                  precision.sum * static_cast<double>(at.num_keys + 4)) +
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

  struct Backward {
    Bounded dq, dk, dv, dtable;
  };
  // The kernel is taken to know `out` only as well as forward() bounds it.
  Backward backward() const {
    Backward d{Bounded(num_rows * width()), Bounded(num_key_rows * key_width()),
               Bounded(num_key_rows * key_width()),
               Bounded(static_cast<std::int64_t>(table.size()))};
    const Bounded out = forward().out;
    each_row([&](const Place& at) {
      const Row row = softmax(at);
      double delta = 0.0, delta_error = 0.0;
      for (std::int64_t c = 0; c < head_width; ++c) {
        const std::int64_t i = query_at(at.n, at.h, c);
        delta += out.value[i] * dout[i];
        delta_error += std::abs(dout[i]) * (out.error[i] + std::abs(out.value[i]) * precision.sum *
                                                               static_cast<double>(head_width));
      }
      for (std::int64_t j = 0; j < at.num_keys; ++j) {
        if (sees(at, j)) add_pair(d, at, j, row.p[j], row.error, delta, delta_error);
      }
    });
    for (Bounded* x : {&d.dq, &d.dk, &d.dv}) {
      for (std::size_t i = 0; i < x->value.size(); ++i) {
        x->error[i] += std::abs(x->value[i]) * precision.store;
      }
    }
    return d;
  }

 private:
  // What a query and key j add to the gradients. p_error and sum_error are relative.
  void add_pair(Backward& d, const Place& at, std::int64_t j, double p, double p_error,
                double delta, double delta_error) const {
    const double m = mask(at.n, j, at.h);
    double dp = 0.0, terms = 0.0;
    for (std::int64_t c = 0; c < head_width; ++c) {
      const double term = dout[query_at(at.n, at.h, c)] * v[key_at(at.first_key + j, at.h, c)];
      dp += term;
      terms += std::abs(term);
    }
    const double ds = p * (m * dp - delta);
    const double ds_error =
        p * (p_error * (std::abs(m * dp) + std::abs(delta)) + delta_error +
             precision.sum * (m * terms * static_cast<double>(head_width + 2) + std::abs(delta)));
    if (!table.empty()) {
      // Summed over offsets, over a bucket's offsets, and over sequences.
      const auto num_sums = static_cast<double>(2 * at.num_queries + at.num_keys + 8) +
                            static_cast<double>(starts.size());
      d.dtable.value[table_at(at, j)] += ds;
      d.dtable.error[table_at(at, j)] += ds_error + std::abs(ds) * precision.sum * num_sums;
    }
    const double sum_error =
        precision.sum * static_cast<double>(std::max(at.num_keys, at.num_queries * group()) + 4);
    const double scaled = ds * score_scale;
    const double scaled_error =
        ds_error * score_scale + std::abs(scaled) * (precision.store + sum_error);
    for (std::int64_t c = 0; c < head_width; ++c) {
      const auto add = [](Bounded& to, std::int64_t i, double value, double error) {
        to.value[i] += value;
        to.error[i] += error;
      };
      const std::int64_t query = query_at(at.n, at.h, c);
      const std::int64_t key_column = key_at(at.first_key + j, at.h, c);
      add(d.dq, query, scaled * k[key_column], scaled_error * std::abs(k[key_column]));
      add(d.dk, key_column, scaled * q[query], scaled_error * std::abs(q[query]));
      add(d.dv, key_column, p * m * dout[query],
          std::abs(p * m * dout[query]) * (p_error + precision.store + sum_error));
    }
  }
};

}  // namespace polyphase::reference
