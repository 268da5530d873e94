// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "report/starts.hpp"

// Enters the starts of jobs (report/starts.hpp), and tells which job is started again and again
// without getting any further.
namespace polyphase {

// A job that was requeued so often without progress is not to be requeued again: something is
// wrong that another start does not mend.
inline constexpr ExitCode kNoProgress{93};
// A recipe's rounds have ended, and its target does not hold: everything is done, and not enough.
inline constexpr ExitCode kTargetNotMet{80};
inline constexpr int kMaxFruitlessRestarts = 3;

// What grows with every step saved, every round and every file prepared; of one round with its
// steps.
std::int64_t progress_of(const std::filesystem::path& run_folder, std::int64_t round = 0);

// Why this job gets no further: it was started again three times, and the run's progress is still
// the same. "": it does.
std::string fruitless(const std::vector<report::Start>& starts, const report::Start& own,
                      std::int64_t progress);

// This job's own entry. To be made by the one process that holds the run's lock.
class StartRecord {
 public:
  // Enters this start. Of a job that trains one round alone, the record is in that round's folder;
  // the run's takes in what it finds there.
  explicit StartRecord(const std::filesystem::path& run_folder, std::int64_t round = 0);
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
  std::int64_t round_;                 // 0: of the whole run
  std::filesystem::path folder_;       // of the record
  std::vector<report::Start> starts_;  // the last one is this one
  std::string refusal_;
  bool left_out_ = false;
};

}  // namespace polyphase
