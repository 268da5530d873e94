// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/crf.hpp"
#include "objective/soft_targets.hpp"

namespace polyphase {

// What a random field makes of M words: parameters without rules.
struct CrfField {
  Tensor2<const float> emission_MK;
  CrfParameters parameters;
};

// The soft part of a random field's loss, weight · T² · KL(teacher ‖ student) between what both
// fields say of all K^W ways to tag a sentence of W words, each score divided by T (Wang et al.,
// 2021, "Structural Knowledge Distillation", case 1a: teacher and student have scores of the same
// tags and pairs of tags). With Z the sum of exponentials that a field divides by, it is
//     log Z_student - log Z_teacher + E_teacher[score_teacher - score_student],
// and its gradient by a score the student's marginal less the teacher's, of tags and of pairs. Both
// fields obey the same rules. Returns it in nats, summed over sentences; adds scale × its gradient
// to demission_MK and to the parameters' gradients.
double add_soft_crf_loss(const Exec& exec, Tensor2<float> demission_MK,
                         const CrfGradients& gradients, const SoftTargets& teacher,
                         const CrfField& student, Tensor1<const std::int32_t> starts,
                         const CrfRules& rules, float scale);

}  // namespace polyphase
