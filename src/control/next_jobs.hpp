// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "control/journal.hpp"

// What the rounds of a run go on with in Slurm: jobs that a job of the run has its own script
// submit when it has ended well (slurm/phase.sbatch), so that neither needs Slurm where the program
// runs.
namespace polyphase {

// In RUN/slurm: what is to be submitted, and what was, a line each:
// what|id|script|after|time|cluster
inline constexpr const char* kNextScript = "next.sh";
inline constexpr const char* kNextJobs = "jobs.txt";

// In a round's folder: a phase of it diverged in a job that leaves the verdict to another.
inline constexpr const char* kDivergedFile = "diverged";

// "01-pretrain", of the phase's script and what it puts out; by its number in the recipe.
std::string stem_of_phase(std::size_t number, const std::string& name);

// The last phase that a round trains: the job for it also judges the round, and leaves what follows
// to other jobs.
const PhaseUse& last_phase_of(const Round& round);

// The phases of a round that are to have a job each, one after the other: those that are not done,
// and in any case the last one, which has all of them where one job trains whole rounds side by
// side.
std::vector<PhaseUse> phases_for_jobs(const recipe::Recipe& recipe, const Round& round,
                                      const std::function<bool(const PhaseUse&)>& is_done);

// Rounds that are trained beside each other, an array of jobs for each of their phases.
struct Trials {
  std::vector<std::int64_t> rounds;
  std::vector<PhaseUse> phases;
};

struct NextJobs {
  std::vector<Trials> trials;    // beside each other; first
  std::int64_t round = 1;        // that is judged next
  std::vector<PhaseUse> phases;  // of it, a job each
};

// The text of kNextScript, for bash. What the job has submitted before it was requeued is not
// submitted again, as the queue still has it, told by its comment. Others than this job that find
// the text have nothing to submit.
std::string next_jobs_text(const std::filesystem::path& run_folder, const NextJobs& next);

// What tells a job in the queue from all others: a digest of its run's folder, what it is for and
// the array that it is of; then what it is for, in words.
std::string comment_of(const std::string& what, const std::filesystem::path& run_folder,
                       const std::string& array);

// RecipeError where `submit` did not make the scripts.
void require_scripts(const std::filesystem::path& run_folder, const recipe::Recipe& recipe);

// For the script of this job.
void write_next_jobs(const std::filesystem::path& run_folder, const NextJobs& next);

// Nothing follows any more: not what a job that was requeued had written down, either.
void withdraw_next_jobs(const std::filesystem::path& run_folder);

}  // namespace polyphase
