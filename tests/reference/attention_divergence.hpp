// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "reference/attention.hpp"

// How far a student's attention lies from a teacher's, and its gradients, as plain loops in float64
// (Wang et al., 2020, eq. 6), with bounds on what a kernel with float32 sums may differ by.
namespace polyphase::reference {

struct AttentionDivergence {
  const Attention &student, &teacher;

  struct Forward {
    Bounded divergence;  // N × H
  };
  Forward forward() const {
    Forward y{Bounded(student.num_rows * student.num_heads)};
    student.each_row([&](const Attention::Place& at) {
      const Attention::Row s = student.softmax(at), t = teacher.softmax(at);
      const std::int64_t i = at.n * student.num_heads + at.h;
      double terms = 0.0;
      for (std::int64_t j = 0; j < at.num_keys; ++j) {
        if (!student.sees(at, j)) continue;
        const double log_t = std::log(t.p[j]), log_s = std::log(s.p[j]);
        const double term = t.p[j] * (log_t - log_s);
        y.divergence.value[i] += term;
        terms += std::abs(term);
        y.divergence.error[i] +=
            t.error * std::abs(term) +
            t.p[j] *
                (s.error + t.error + student.precision.sum * (std::abs(log_t) + std::abs(log_s)));
      }
      y.divergence.error[i] += terms * student.precision.sum * static_cast<double>(at.num_keys + 4);
    });
    return y;
  }

  double loss() const {
    double sum = 0.0;
    for (const double d : forward().divergence.value) sum += d;
    return sum;
  }

  struct Backward {
    Bounded dq, dk, dtable;
  };
  // Of factor × loss(), on top of dq and dk that are there.
  Backward backward(double factor, const Values& dq_before, const Values& dk_before,
                    const Values& dtable_before) const {
    const Attention& a = student;
    Backward d{Bounded(a.num_rows * a.width()), Bounded(a.num_key_rows * a.key_width()),
               Bounded(static_cast<std::int64_t>(a.table.size()))};
    d.dq.value = dq_before, d.dk.value = dk_before, d.dtable.value = dtable_before;
    a.each_row([&](const Attention::Place& at) {
      const Attention::Row s = a.softmax(at), t = teacher.softmax(at);
      for (std::int64_t j = 0; j < at.num_keys; ++j) {
        if (!a.sees(at, j)) continue;
        const double error = std::abs(factor) * (s.p[j] * s.error + t.p[j] * t.error +
                                                 4.0 * a.precision.sum * (s.p[j] + t.p[j]));
        add_pair(d, at, j, factor * (s.p[j] - t.p[j]), error);
      }
    });
    for (Bounded* x : {&d.dq, &d.dk}) {
      for (std::size_t i = 0; i < x->value.size(); ++i)
        if (x->error[i] > 0) x->error[i] += std::abs(x->value[i]) * a.precision.store;
    }
    for (std::size_t i = 0; i < d.dtable.value.size(); ++i)
      d.dtable.error[i] += std::abs(d.dtable.value[i]) * a.precision.sum;
    return d;
  }

 private:
  // What a query and key j add, whose score has the gradient ds.
  void add_pair(Backward& d, const Attention::Place& at, std::int64_t j, double ds,
                double error) const {
    const Attention& a = student;
    if (!a.table.empty()) {
      const auto num_sums = static_cast<double>(2 * at.num_queries + at.num_keys + 8) +
                            static_cast<double>(a.starts.size());
      d.dtable.value[a.table_at(at, j)] += ds;
      d.dtable.error[a.table_at(at, j)] += error + std::abs(ds) * a.precision.sum * num_sums;
    }
    const double sum_error =
        a.precision.sum *
        static_cast<double>(std::max(at.num_keys, at.num_queries * a.group()) + 4);
    const double scaled = ds * a.score_scale;
    const double scaled_error =
        error * a.score_scale + std::abs(scaled) * (a.precision.store + sum_error);
    for (std::int64_t c = 0; c < a.head_width; ++c) {
      const std::int64_t query = a.query_at(at.n, at.h, c);
      const std::int64_t key = a.key_at(at.first_key + j, at.h, c);
      d.dq.value[query] += scaled * a.k[key];
      d.dq.error[query] += scaled_error * std::abs(a.k[key]);
      d.dk.value[key] += scaled * a.q[query];
      d.dk.error[key] += scaled_error * std::abs(a.q[query]);
    }
  }
};

}  // namespace polyphase::reference
