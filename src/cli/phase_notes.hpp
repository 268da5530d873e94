// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "comm/communicator.hpp"
#include "control/journal.hpp"
#include "control/run_folder.hpp"
#include "report/progress.hpp"
#include "train/phase.hpp"

namespace polyphase {

// What a job tells of the phases that it works on: on the terminal how they get on, in the run's
// folder how they stand. Phases have the folder's names for them ("round-1/01-pretrain").
class PhaseNotes {
 public:
  // `folder`: of the run, on rank 0 alone; elsewhere nullptr, and nothing is written. Samples are
  // cut at max_tokens.
  PhaseNotes(const Communicator& world, RunFolder* folder, std::int64_t max_tokens)
      : world_(world), folder_(folder), max_tokens_(max_tokens) {}

  // It has this share of the job's ranks. `total_steps`: where that is known by now.
  void begun(const std::string& folder, double share, std::optional<std::int64_t> total_steps = {});

  // What this rank shows the phase's progress under, which `ranks` work on; "": it shows none.
  std::string shown_name(const PhaseUse& use, const Communicator& ranks) const;
  void show(const PhaseUse& use, const PhaseProgress& now, const std::string& name);
  void end_show() { progress_.reset(); }

  // `stop_reason`: why it was stopped, if it was.
  void ended(const std::string& folder, const PhaseOutcome& outcome,
             const std::string& stop_reason);
  // Ends the show, too.
  void failed(const std::string& folder, const std::string& reason);

 private:
  const Communicator& world_;
  RunFolder* folder_;
  std::int64_t max_tokens_;
  std::optional<report::Progress> progress_;
};

}  // namespace polyphase
