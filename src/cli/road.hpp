// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/phase_notes.hpp"
#include "cli/phase_sources.hpp"
#include "comm/groups.hpp"
#include "control/controller.hpp"
#include "control/run_folder.hpp"
#include "control/starts.hpp"
#include "recipe/recipe.hpp"
#include "train/phase.hpp"
#include "train/watchdog.hpp"

namespace polyphase {

// How far a job goes.
struct RoadOptions {
  bool log_samples = false;
  // The round of which it trains a phase. The job of the round's last phase also judges it, and
  // leaves the rounds that follow to jobs of their own, a phase each, and trials of a search to
  // arrays of them (next_jobs.hpp). 0: it goes round by itself.
  std::int64_t round = 0;
  // Likewise, beside jobs that train other rounds, and without judging it.
  std::int64_t trial = 0;
};

// One job's way through a recipe: rounds one after the other, and in each round its phases. The run
// folder and the controller are there on rank 0 alone; what they decide is sent to all.
class Road {
 public:
  // Locks the run folder and prepares the corpora. Collective. Refused with kNoProgress when this
  // Slurm job was started again and again and got no further.
  Road(const recipe::Recipe& recipe, const Communicator& world, const RoadOptions& options);

  // Runs every phase that is not done, or only the one named, and of a recipe that iterates as many
  // rounds as it takes, unless the options say otherwise. False: stopped on request.
  bool run(const std::string& only);

  // Enters the end of this job; the exit code that tells of it. Collective.
  ExitCode end(bool finished);

  const std::string& stop_reason() const { return stop_.reason(); }
  // What the target is and how near the rounds came, where they have ended without it; else "".
  const std::string& shortfall() const { return shortfall_; }

  // The table and the HTML page, made from the run's files.
  void report();

 private:
  void open();
  bool go_round(const std::string& only);
  bool end_rounds(const Journal& journal);
  Journal next_journal();
  bool run_round(const Journal& journal, const std::string& only);
  bool run_phase_of(const Journal& journal, const PhaseUse& use);
  std::string state_of(const Journal& journal, const PhaseUse& use);
  void require_needed(const Journal& journal, const Round& round, const recipe::Recipe& recipe,
                      const recipe::Phase& phase);
  bool corpus_is_needed(const Journal& journal, const PhaseUse& maker);
  void prepare_made(const Round& round, const recipe::Recipe& recipe, const recipe::Phase& phase);
  void prepare_phase(const Journal& journal, const PhaseUse& use);
  PhaseJob job_of(const Journal& journal, const PhaseUse& use, const Communicator& ranks,
                  const RankGrid& grid);
  bool judge(const Journal& journal, bool diverged);

  // road_jobs.cpp: phases and rounds in jobs of their own.
  bool run_trial(const std::string& only);
  bool run_part_of_round(const std::string& only);
  bool train_alone(const Journal& plan, const Round& round, const std::string& only);
  bool is_whole_job(const Round& round) const;
  std::optional<std::vector<Round>> trials_for_others(const Journal& journal,
                                                      const std::string& only);
  void leave_to_jobs(const Journal& journal, const std::vector<Round>& trials);
  std::vector<Round> trials_for_jobs(const Journal& journal);

  // road_groups.cpp: trials side by side.
  bool train_side_by_side(const Journal& journal);
  bool is_done(const Round& round);
  bool is_known_to_diverge(const Round& round);
  bool has_diverged(const Round& round);
  bool train_what_is_reused(const Journal& plan, std::size_t first);
  std::vector<PhaseUse> ready_phases(const Journal& plan, std::size_t first, int most);
  bool train_together(const Journal& plan, const std::vector<PhaseUse>& uses, RankGroups& groups);
  std::string train_in_group(const PhaseJob& job, const PhaseUse& use, RankGroups& groups);
  bool note_together(const std::vector<PhaseUse>& uses, const std::vector<std::string>& ends);
  RankGroups& groups_of(int size);

  const recipe::Recipe& recipe_;
  const Communicator& world_;
  const RoadOptions options_;
  StopRequest stop_;
  std::optional<Watchdog> watchdog_;
  RankGrid grid_;
  std::string data_dir_, run_dir_, shortfall_;
  bool prepared_ = false;
  std::optional<RunFolder> folder_;
  std::optional<StartRecord> start_;
  std::optional<Controller> controller_;
  std::optional<PhaseNotes> notes_;
  std::optional<PhaseSources> sources_;
  std::map<int, RankGroups> groups_;   // by their size
  std::set<std::string> done_beside_;  // folders of phases that this job has trained in groups
  std::set<std::int64_t> diverged_;    // rounds that did beside others, and are to be judged
  std::optional<Journal> plan_;        // of a trial
};

}  // namespace polyphase
