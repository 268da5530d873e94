// SPDX-License-Identifier: Apache-2.0
#include "cli/phase_notes.hpp"

#include <cstdio>

#include "base/error.hpp"
#include "base/log.hpp"
#include "report/terminal.hpp"

namespace polyphase {
namespace {

// "layers.2.… from layers.0.…", and what was set to zero in layers that are to change nothing.
std::vector<std::string> copies_of(const HandOver& hand_over) {
  std::vector<std::string> copies;
  for (const auto& [name, source] : hand_over.copied) copies.push_back(name + " from " + source);
  for (const std::string& name : hand_over.zeroed) copies.push_back(name + ": zero");
  return copies;
}

}  // namespace

void PhaseNotes::begun(const std::string& folder, double share,
                       std::optional<std::int64_t> total_steps) {
  if (folder_ == nullptr) return;
  report::PhaseState& phase = folder_->find(folder);
  phase.share = share;
  phase.total_steps = total_steps.value_or(phase.total_steps);
  folder_->set_state(phase, "running");
}

// Beside others every group of ranks tells of its own phase; on a terminal, where lines are drawn
// over each other, the first one alone.
std::string PhaseNotes::shown_name(const PhaseUse& use, const Communicator& ranks) const {
  if (ranks.rank() != 0) return "";
  if (&ranks == &world_) return use.name;
  if (world_.rank() != 0 && report::terminal_columns(fileno(stderr))) return "";
  return fmt::format("round {}: {}", use.round, use.name);
}

void PhaseNotes::show(const PhaseUse& use, const PhaseProgress& now, const std::string& name) {
  if (name.empty()) return;
  if (!progress_) {
    progress_.emplace(name, now.step - 1, now.total_steps);
    if (folder_ != nullptr) {
      report::PhaseState& phase = folder_->find(use.folder);
      phase.total_steps = now.total_steps;  // for those who ask how long it takes
      folder_->set_state(phase, phase.state);
    }
  }
  progress_->update(
      {.step = now.step, .loss = now.loss, .tokens_per_second = now.tokens_per_second});
}

void PhaseNotes::ended(const std::string& folder, const PhaseOutcome& outcome,
                       const std::string& stop_reason) {
  if (folder_ == nullptr) return;
  report::PhaseState& phase = folder_->find(folder);
  phase.step = outcome.step;
  phase.total_steps = outcome.total_steps;
  phase.samples = outcome.num_samples;
  phase.tokens = outcome.num_tokens;
  phase.seconds = outcome.seconds;
  phase.metrics = outcome.metrics;
  phase.handover = {.carried = outcome.hand_over.carried,
                    .copied = copies_of(outcome.hand_over),
                    .fresh = outcome.hand_over.fresh,
                    .left = outcome.hand_over.left,
                    .state = outcome.hand_over.state};
  folder_->set_state(phase, outcome.finished ? "done" : "interrupted",
                     outcome.finished ? "" : stop_reason);
  log_info("{}: {} at step {} of {}{}", phase.name, phase.state, phase.step, phase.total_steps,
           phase.reason.empty() ? "" : ", " + phase.reason);
  if (outcome.num_truncated > 0) {
    log_warning("{}: {} of {} training samples did not fit into max_tokens ({}) and were cut",
                phase.name, outcome.num_truncated, outcome.num_seen, max_tokens_);
  }
}

// The error that is on its way out matters more than one of noting it (on a full disk, say).
void PhaseNotes::failed(const std::string& folder, const std::string& reason) {
  end_show();
  if (folder_ == nullptr) return;
  try {
    folder_->set_state(folder_->find(folder), "failed", reason);
  } catch (const Error& error) {
    log_warning("{}", error.what());
  }
}

}  // namespace polyphase
