// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "model/pass.hpp"
#include "objective/linear_head.hpp"
#include "objective/soft_targets.hpp"

namespace polyphase {

// Distillation of heads whose losses are computed on the host: the outputs of a teacher's head.

// What a head says of x_MC's rows, in a pass that stays as long.
template <class Real>
SoftTargets teach(const LinearHead& head, const Pass& pass, Tensor2<const Real> x_MC) {
  return {.logits = [&head, &pass, x_MC](Tensor2<float> y_MK, std::int64_t) {
    head.forward<Real>(pass, y_MK, x_MC);
  }};
}

// All that a teacher says, row by row (zeros when the arena is counting); empty without a teacher,
// or in a pass that does not train.
inline std::vector<float> outputs_of_teacher(const Pass& pass,
                                             const std::optional<SoftTargets>& soft,
                                             std::int64_t num_rows, std::int64_t num_outputs) {
  if (!soft || !pass.training) return {};
  const ArenaScope scope(*pass.exec.arena);
  const auto outputs_MK = pass.exec.arena->take2<float>(num_rows, num_outputs);
  soft->logits(outputs_MK, 0);
  return download<float>(pass.exec, Tensor1<const float>(flat(outputs_MK)));
}

}  // namespace polyphase
