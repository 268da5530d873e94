// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/exec.hpp"

namespace polyphase {

// The divergence of a student's softmax from a teacher's, both at a temperature T (Hinton et al.,
// 2015, section 2), over classes seen in blocks of columns. With z and t the logits of student and
// teacher, divided by T, and p the teacher's softmax, a row's divergence is
//     sum of p · (t - z) - log sum of exp(t) + log sum of exp(z).
// Statistics grow block by block, on each rank over its own part; ranks then combine theirs.
struct SoftStats {
  Tensor1<float> student_max_M, student_sum_M;  // largest z, sum of exp(z - it)
  Tensor1<float> teacher_max_M, teacher_sum_M;  // the same of t
  Tensor1<float> difference_M;                  // sum of exp(t - teacher_max) · (t - z)
};

void soft_stats_begin(const Exec& exec, const SoftStats& stats);

// Takes in both models' logits of the same rows and classes.
void soft_stats_add(const Exec& exec, const SoftStats& stats, Tensor2<const float> student_MK,
                    Tensor2<const float> teacher_MK, float temperature);

// dlogits_MK += scale · (softmax of the student - that of the teacher), each at the temperature, in
// rows whose label is not negative. Log sums are over all classes, of logits divided by T.
template <class Real>
void soft_gradient_add(const Exec& exec, Tensor2<Real> dlogits_MK, Tensor2<const float> student_MK,
                       Tensor2<const float> teacher_MK, Tensor1<const float> student_log_sum_M,
                       Tensor1<const float> teacher_log_sum_M, Tensor1<const std::int32_t> labels_M,
                       float temperature, float scale);

// losses_N[n] = mean over C of (x - y)², and dx_NC[n] += scale · its gradient, for the first
// losses_N.extent(0) rows; dx_NC may be empty.
template <class Real>
void squared_difference(const Exec& exec, Tensor1<float> losses_N, Tensor2<float> dx_NC,
                        Tensor2<const Real> x_NC, Tensor2<const Real> y_NC, float scale);

}  // namespace polyphase
