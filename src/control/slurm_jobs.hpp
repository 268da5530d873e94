// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "control/slurm_queue.hpp"

// The Slurm jobs of a run, as plain data: RUN/slurm/jobs.json, and behind them those that its jobs
// have submitted (next_jobs.hpp).
namespace polyphase {

// What jobs are called.
inline constexpr const char* kPrepare = "prepare";
inline constexpr const char* kWholeRun = "run";  // one job for all
inline constexpr const char* kPhase = "phase ";  // "phase NAME", of a round "phase NAME (round N)"
inline constexpr const char* kTrial = "trial ";  // in an array of rounds "trial NAME (round N)"

struct SubmittedJob {
  std::string what;
  std::string id;       // Slurm's number; of an array "12_0"
  std::string script;   // file
  std::string after;    // the job it waits for, or jobs: "12, 14"; "": none
  std::string time;     // UTC, when it was submitted
  std::string cluster;  // whose number it is; "": not known
};

struct SlurmJobs {
  std::vector<std::string> runs;   // folders of the runs of an array, beside this one
  std::vector<SubmittedJob> jobs;  // in the order they were submitted

  // The last one; nullptr when there is none.
  const SubmittedJob* find(const std::string& what) const;
};

// What the job of a phase is called; round 0: of a recipe without rounds.
std::string what_of_phase(const std::string& phase, std::int64_t round);

// Empty when there is no such file; DataError when it cannot be read.
SlurmJobs read_slurm_jobs(const std::filesystem::path& run_folder);
void write_slurm_jobs(const std::filesystem::path& run_folder, const SlurmJobs& jobs);

// The jobs of a run, and what the queue says of them. A job submits others before it ends: where it
// did so while the queue was asked, both are read again.
struct QueuedJobs {
  SlurmJobs jobs;
  Queue queue;          // of jobs that are on this cluster, or of which that is not known
  std::string cluster;  // this one; "": not known, or there are no jobs

  // Whether it is a job of another cluster, of which nothing is known here.
  bool is_elsewhere(const SubmittedJob& job) const;
  // What the queue has of it; nullptr: nothing.
  const QueuedJob* find(const SubmittedJob& job) const;
};
QueuedJobs read_queued_jobs(const std::filesystem::path& run_folder);

// What `status` says of them: a table of phases and jobs with the queue's states, why a chain
// stopped, and the goodput. "" for a run without jobs and starts.
std::string slurm_text(const std::filesystem::path& run_folder, int columns);

}  // namespace polyphase
