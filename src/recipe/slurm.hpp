// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace polyphase::recipe {

struct Recipe;
struct Phase;

// What one Slurm job asks for. A field that is not set is the cluster's own, or the template's.
struct SlurmJob {
  std::optional<std::int64_t> nodes;
  std::optional<std::int64_t> ranks;         // of the whole job
  std::optional<std::int64_t> threads;       // of a rank, with a processor each
  std::optional<std::int64_t> gpus;          // of a rank
  double time_seconds = 0;                   // 0: not set. Written as seconds or [HH:]MM:SS
  std::optional<std::int64_t> warn_seconds;  // before the time ends: then the ranks save
  std::string partition, account, qos;
  std::vector<std::string> options;  // of sbatch, as they are
  std::vector<std::string> modules;  // loaded one after the other
  std::vector<std::string> setup;    // lines of shell, behind the modules
  std::string launch;                // starts the ranks: "srun --mpi=pmix"
  std::string program;               // what is started: "apptainer exec IMAGE polyphase"
};

// The jobs of a run. A phase may have a section of its own, whose fields come before these.
struct Slurm : SlurmJob {
  std::string script;               // a site's copy of slurm/phase.sbatch
  std::optional<SlurmJob> prepare;  // of the job that prepares the data
};

// What the job of this phase asks for; nullptr: the job that prepares the data.
SlurmJob slurm_job_of(const Recipe& recipe, const Phase* phase);
// What one job of all phases asks for: what stands around them.
SlurmJob slurm_job_of_all(const Recipe& recipe);

}  // namespace polyphase::recipe
