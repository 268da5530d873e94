// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "control/journal.hpp"
#include "io/run_lock.hpp"
#include "recipe/recipe.hpp"
#include "report/run_state.hpp"

namespace polyphase {

// The folder of one run as rank 0 keeps it: lock, resolved recipe, and the state of every phase in
// status.json, which is written anew with each change. Running means making it so: finished phases
// stay, the first unfinished one goes on.
class RunFolder {
 public:
  // Makes the folder, or goes on in one that holds the same recipe. Throws RecipeError that lists
  // what changed when it holds another, SystemError when another job has it.
  explicit RunFolder(const recipe::Recipe& recipe);
  // For a job that trains one round while other jobs train others: the lock and the states of the
  // phases are the round's (RUN/round-N). The run's own job, which no such job may run beside,
  // takes them in. SystemError when it is at work.
  RunFolder(const recipe::Recipe& recipe, std::int64_t round);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path data_dir() const { return path_ / "data"; }

  // Adds the phases that this round trains, of its own recipe, with the state that the folder has
  // them in; those that are there already stay as they are.
  void add_phases(const Round& round, const recipe::Recipe& recipe);
  // Takes the round's phases out again, and removes what was trained of them. Does nothing where
  // that was done before.
  void discard(std::int64_t round);
  // Rounds as they are shown; writes status.json.
  void set_rounds(const report::RoundsState& rounds);

  const std::vector<report::PhaseState>& phases() const { return state_.phases; }
  // The phase in that folder, round-1/01-pretrain for instance.
  report::PhaseState& find(const std::string& folder);
  // Whether a phase that is not done starts from this one, which is.
  bool is_needed(const report::PhaseState& phase) const;
  // Whether the checkpoint of a finished phase's last step is there.
  bool has_last_checkpoint(const report::PhaseState& phase) const;
  // What this run has taken from that phase of another run; nullptr: nothing yet. What was taken
  // once counts for all of the run's rounds.
  const Lineage* taken(const recipe::OtherRun& other) const;
  // Notes that the phase takes it; the next set_state() writes it down.
  void take(report::PhaseState& phase, const recipe::OtherRun& other, const Lineage& lineage);
  // Sets a phase's state ("running", "done" …) with its reason, and writes status.json.
  void set_state(report::PhaseState& phase, const std::string& state,
                 const std::string& reason = "");

 private:
  bool is_added(const std::string& folder) const;
  void write_status() const;
  void take_in_rounds();

  std::filesystem::path path_;
  std::int64_t round_ = 0;  // that it is of alone; 0: of the whole run
  bool took_in_ = false;
  std::unique_ptr<RunLock> lock_;
  report::RunState state_;
  std::vector<report::PhaseState> before_;  // as the folder had them
};

// RecipeError that lists what changed when the folder holds a run of another recipe.
void refuse_changed_recipe(const std::filesystem::path& run_folder, const recipe::Recipe& recipe);

// Makes the folder if need be and locks it for this job. Throws SystemError, which names the holder
// when another job has it, or one of its rounds.
std::unique_ptr<RunLock> lock_run_folder(const std::filesystem::path& folder);

// Version of this program, which checkpoints and reports name.
std::string program_version();

// The folder that the recipe's run lives in.
std::filesystem::path run_folder_of(const recipe::Recipe& recipe);

}  // namespace polyphase
