// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

// What the rounds of a run go on with in Slurm: jobs that a job of the run has its own script
// submit when it has ended well (slurm/phase.sbatch), so that neither needs Slurm where the program
// runs.
namespace polyphase {

// In RUN/slurm: the script of a job that goes on with the rounds, the one of a job that trains one
// round of an array, what is to be submitted, and what was.
inline constexpr const char* kRunScript = "01-run.sbatch";
inline constexpr const char* kTrialScript = "02-trial.sbatch";
inline constexpr const char* kNextScript = "next.sh";
inline constexpr const char* kNextJobs = "jobs.txt";  // a line each: what|id|script|after|time

// In a round's folder: a phase of it diverged in a job that trained it alone.
inline constexpr const char* kDivergedFile = "diverged";

// The text of kNextScript, for bash: an array of jobs that train these rounds, if there are any,
// and behind it a job that goes on with all. What a job has submitted before it was requeued is not
// submitted again. `slurm` is the absolute folder of the scripts.
std::string next_jobs_text(const std::filesystem::path& slurm,
                           const std::vector<std::int64_t>& rounds);

// RecipeError where `submit` did not make the scripts.
void require_scripts(const std::filesystem::path& run_folder);

void write_next_jobs(const std::filesystem::path& run_folder,
                     const std::vector<std::int64_t>& rounds);
void remove_next_jobs(const std::filesystem::path& run_folder);

}  // namespace polyphase
