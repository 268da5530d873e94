// SPDX-License-Identifier: Apache-2.0
#include "train/phase_guard.hpp"

#include <cmath>
#include <string>

#include "base/log.hpp"

namespace polyphase {
namespace {

std::string too_often(const recipe::Phase& phase, std::int64_t step, const std::string& fault) {
  return fmt::format(
      "step {}: {}, the last of {} steps in a row that had to be skipped, after {} rollbacks; the "
      "last checkpoint is kept; lower optimizer.learning_rate or look for what is wrong with the "
      "data, in a new run folder",
      step, fault, phase.guard->max_skipped + 1, phase.guard->max_rollbacks);
}

}  // namespace

double learning_rate_factor(const recipe::Phase& phase, const GuardState& guard) {
  if (!phase.guard) return 1.0;
  return std::pow(phase.guard->learning_rate_scale, static_cast<double>(guard.num_rollbacks));
}

std::optional<Rollback> judge_step(const PhaseJob& job, const StepRecord& record, PhaseState& state,
                                   PhaseLog& log) {
  const recipe::Phase& phase = phase_of(job);
  GuardState& guard = state.guard;
  if (!record.fault) {
    guard.losses.add(record.loss);
    guard.skipped_in_a_row = 0;
    return std::nullopt;
  }
  ++guard.num_skipped;
  log.event(state.step, "skipped", *record.fault);
  if (job.world.rank() == 0)
    log_warning("{}: step {} skipped: {}", phase.name, state.step, *record.fault);
  if (++guard.skipped_in_a_row <= phase.guard->max_skipped) return std::nullopt;
  if (guard.num_rollbacks == phase.guard->max_rollbacks)
    throw DivergedError(too_often(phase, state.step, *record.fault), ExitCode::kUsage);
  return Rollback{.guard = guard, .failed_step = state.step};
}

void go_on_after(const Rollback& rollback, const PhaseJob& job, PhaseState& state, PhaseLog& log) {
  const recipe::Phase& phase = phase_of(job);
  state.guard =
      roll_back(*phase.guard, state.guard, rollback.guard, state.step, rollback.failed_step);
  const std::string detail = fmt::format(
      "from step {} to step {}, rollback {} of {}; the learning rate is {} times the "
      "schedule's, {} steps of data are passed over",
      rollback.failed_step, state.step, state.guard.num_rollbacks, phase.guard->max_rollbacks,
      learning_rate_factor(phase, state.guard), state.guard.data_offset);
  log.event(state.step, "rolled back", detail);
  if (job.world.rank() == 0) log_warning("{}: rolled back {}", phase.name, detail);
}

}  // namespace polyphase
