// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"

// Every start of a job on a run folder, as plain data: RUN/starts.json. It tells how much of the
// allocated time trained, and which job is started again and again without getting any further.
namespace polyphase {

// A job that was requeued so often without progress is not to be requeued again: something is
// wrong that another start does not mend.
inline constexpr ExitCode kNoProgress{93};
inline constexpr int kMaxFruitlessRestarts = 3;

struct Start {
  std::string job;               // Slurm's number of it; "" outside of Slurm
  std::string array_job;         // in an array also "12_0"
  std::int64_t restart = 0;      // how often Slurm had started it before
  std::int64_t begun = 0;        // seconds since 1970: when the job got its nodes, if it says so
  std::int64_t ended = 0;        // 0: it runs, or was killed
  std::int64_t progress = 0;     // of the run when it began
  std::optional<int> exit_code;  // none: it runs, was killed, or failed
  std::string reason;            // why it stopped
};

// What grows with every step saved, every round and every file prepared.
std::int64_t progress_of(const std::filesystem::path& run_folder);

// Why this job gets no further: it was started again three times, and the run's progress is still
// the same. "": it does.
std::string fruitless(const std::vector<Start>& starts, const std::string& job,
                      std::int64_t progress);

// Empty when there is none, or none that can be read.
std::vector<Start> read_starts(const std::filesystem::path& run_folder);

// Seconds from its beginning to its end. Of a start without an end: until `now` if the run's lock
// is there and it is the last one, else until its run wrote its last line of metrics.
double seconds_of(const std::vector<Start>& starts, std::size_t index,
                  const std::filesystem::path& run_folder, std::int64_t now);

// This job's own entry. To be made by the one process that holds the run's lock.
class StartRecord {
 public:
  // Enters this start.
  explicit StartRecord(const std::filesystem::path& run_folder);
  ~StartRecord();  // enters the end of one that failed
  StartRecord(const StartRecord&) = delete;
  StartRecord& operator=(const StartRecord&) = delete;

  // Why it is not to start at all, see fruitless(); "": it is.
  const std::string& refusal() const { return refusal_; }
  // Enters its end, and returns the exit code that tells of it: kInterrupted becomes kNoProgress
  // where the job gets no further. Outside of Slurm, a start that had nothing to do is forgotten.
  ExitCode end(ExitCode code, const std::string& reason);

 private:
  void leave_out();
  void write() const;

  std::filesystem::path run_folder_;
  std::vector<Start> starts_;  // the last one is this one
  std::string refusal_;
  bool left_out_ = false;
};

}  // namespace polyphase
