// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "cli/phase_sources.hpp"
#include "comm/session.hpp"
#include "control/controller.hpp"
#include "control/run_folder.hpp"
#include "control/starts.hpp"
#include "recipe/recipe.hpp"
#include "report/progress.hpp"
#include "train/phase.hpp"
#include "train/watchdog.hpp"

namespace polyphase {

// One job's way through a recipe: rounds one after the other, and in each round its phases. The run
// folder and the controller are there on rank 0 alone; what they decide is sent to all.
class Road {
 public:
  // Locks the run folder and prepares the corpora. Collective. Refused with kNoProgress when this
  // Slurm job was started again and again and got no further.
  Road(const recipe::Recipe& recipe, const Communicator& world, bool log_samples);

  // Runs every phase that is not done, or only the one named, and of a recipe that iterates as many
  // rounds as it takes. False: stopped on request.
  bool run(const std::string& only);

  // Enters the end of this job; the exit code that tells of it. Collective.
  ExitCode end(bool finished);

  const std::string& stop_reason() const { return stop_.reason(); }
  // What the target is and how near the rounds came, where they have ended without it; else "".
  const std::string& shortfall() const { return shortfall_; }

  // The table and the HTML page, made from the run's files.
  void report();

 private:
  Journal next_journal();
  bool run_round(const Journal& journal, const std::string& only);
  bool run_phase_of(const Journal& journal, const PhaseUse& use);
  std::string state_of(const Journal& journal, const PhaseUse& use);
  void require_needed(const Journal& journal, const Round& round, const recipe::Recipe& recipe,
                      const recipe::Phase& phase);
  bool corpus_is_needed(const Journal& journal, const PhaseUse& maker);
  void prepare_made(const Round& round, const recipe::Recipe& recipe, const recipe::Phase& phase);
  PhaseJob job_of(const Journal& journal, const PhaseUse& use);
  void show(const PhaseUse& use, const PhaseProgress& now);
  void note_failure(const std::string& folder, const std::string& reason);
  void note(const std::string& folder, const PhaseOutcome& outcome);
  std::optional<recipe::Strategy> preliminary_trial(const Journal& journal) const;
  void record_diverged(const Journal& journal);
  bool judge_round(const Journal& journal);
  void record(const Verdict& verdict);

  const recipe::Recipe& recipe_;
  const Communicator& world_;
  const bool log_samples_;
  StopRequest stop_;
  std::optional<Watchdog> watchdog_;
  RankGrid grid_;
  std::string data_dir_, run_dir_, shortfall_;
  bool prepared_ = false;
  std::optional<RunFolder> folder_;
  std::optional<StartRecord> start_;
  std::optional<Controller> controller_;
  std::optional<PhaseSources> sources_;
  std::optional<report::Progress> progress_;
};

}  // namespace polyphase
