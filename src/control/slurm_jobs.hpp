// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "control/slurm_queue.hpp"

// The Slurm jobs of a run, as plain data: RUN/slurm/jobs.json.
namespace polyphase {

struct SubmittedJob {
  std::string what;    // "prepare", "run" (all of a recipe that iterates), or "phase NAME"
  std::string id;      // Slurm's number; of an array "12_0"
  std::string script;  // file
  std::string after;   // the job it waits for; "": none
  std::string time;    // UTC, when it was submitted
};

struct SlurmJobs {
  std::vector<std::string> runs;   // folders of the runs of an array, beside this one
  std::vector<SubmittedJob> jobs;  // in the order they were submitted

  // The last one; nullptr when there is none.
  const SubmittedJob* find(const std::string& what) const;
  std::vector<std::string> ids() const;
};

// Empty when there is no such file; DataError when it cannot be read.
SlurmJobs read_slurm_jobs(const std::filesystem::path& run_folder);
void write_slurm_jobs(const std::filesystem::path& run_folder, const SlurmJobs& jobs);

// What `status` says of them: a table of phases and jobs with the queue's states, why a chain
// stopped, and the goodput. "" for a run without jobs and starts.
std::string slurm_text(const std::filesystem::path& run_folder, int columns);

}  // namespace polyphase
