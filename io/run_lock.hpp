// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace polyphase {

// In a run's folder: where each rank of the last job stands, or stood; and what says that the
// watchdog ended that job, until the next one begins.
inline constexpr const char* kRanksFile = "ranks.txt";
inline constexpr const char* kStalledFile = "ranks.txt.stalled";

std::string host_name();

// Keeps a run folder to one job at a time by a file that only one process can create. (flock gives
// no protection over NFS.) The file names host, process, Slurm job and start time of its holder.
//
// A lock is taken over when its holder is surely dead: on this host, since this boot, no process
// has that number and that start time (so a recycled number is no mistake); or it belongs to this
// very Slurm job before its requeue. Anything else is SystemError with the holder's name and the
// file to delete when it is certain that nobody runs.
class RunLock {
 public:
  explicit RunLock(const std::filesystem::path& path);
  ~RunLock();  // removes the file if it is still this lock's
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  std::filesystem::path path_;
  std::string content_;
};

// SystemError, as of the lock, where a job holds it that is not surely dead.
void require_free(const std::filesystem::path& path);

}  // namespace polyphase
