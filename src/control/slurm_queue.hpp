// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

namespace polyphase {

// A job as Slurm's queue has it.
struct QueuedJob {
  std::string state;   // RUNNING, PENDING, COMPLETED …
  std::string reason;  // why it waits, or ended; "None"
};

// Whether it will run, runs, or is being ended.
bool is_live(const QueuedJob& job);

struct Queue {
  bool known = false;                     // false: there is no Slurm here, or it does not answer
  std::map<std::string, QueuedJob> jobs;  // by number; of an array "12_0". Those Slurm remembers
};

// The name of the cluster that this is; "": not known. Numbers of jobs are a cluster's own.
std::string own_cluster();

// Asks squeue for these jobs.
Queue read_queue(const std::vector<std::string>& ids);

// The numbers of one's own jobs in the queue that have this comment, of an array each element's:
// "12_0". SystemError when squeue does not answer.
std::vector<std::string> find_queued(const std::string& comment);

// Gives the script to sbatch; the number of the job, and behind a ";" its cluster where sbatch was
// told one. SystemError with sbatch's words when it refuses, or is not there.
std::string submit_script(const std::vector<std::string>& command);

}  // namespace polyphase
