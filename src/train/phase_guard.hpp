// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "train/phase_log.hpp"

namespace polyphase {

// Training went wrong at failed_step, and is to go on from the last checkpoint.
struct Rollback {
  GuardState guard;  // when it gave up
  std::int64_t failed_step = 0;
};

// What the schedule's learning rate is multiplied by: one factor for each rollback.
double learning_rate_factor(const recipe::Phase& phase, const GuardState& guard);

// The guard's judgement of a step that is over: remembers its loss, or records that it was skipped.
// A rollback when too many were skipped in a row; DivergedError when there were too many of those.
// The phase has a guard.
std::optional<Rollback> judge_step(const PhaseJob& job, const StepRecord& record, PhaseState& state,
                                   PhaseLog& log);

// `state` is that of the checkpoint gone back to, and becomes the one to go on with.
void go_on_after(const Rollback& rollback, const PhaseJob& job, PhaseState& state, PhaseLog& log);

}  // namespace polyphase
