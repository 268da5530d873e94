// SPDX-License-Identifier: Apache-2.0
#include "control/starts.hpp"

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include "base/environment.hpp"
#include "base/log.hpp"
#include "io/checkpoint.hpp"
#include "io/file.hpp"
#include "io/made_corpus.hpp"
#include "io/run_lock.hpp"
#include "report/run_state.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

std::int64_t number_from_environment(const char* name, std::int64_t otherwise) {
  const std::string value = from_environment(name);
  return value.empty() ? otherwise : std::strtoll(value.c_str(), nullptr, 10);
}

std::string array_job_of_environment() {
  const std::string array = from_environment("SLURM_ARRAY_JOB_ID");
  return array.empty() ? "" : array + "_" + from_environment("SLURM_ARRAY_TASK_ID");
}

}  // namespace

std::int64_t progress_of(const fs::path& run_folder, std::int64_t round) {
  std::int64_t progress = 0;
  for (const fs::path& phase : report::phase_folders(run_folder, round)) {
    const std::vector<CheckpointEntry> saved = find_checkpoints(phase / "checkpoints");
    progress += 1 + (saved.empty() ? 0 : saved.back().step);
    std::error_code none;
    const auto made_bytes = fs::file_size(phase / kPairsFile, none);
    if (!none) progress += static_cast<std::int64_t>(made_bytes);
  }
  if (round != 0) return progress;
  std::error_code error;
  fs::recursive_directory_iterator files(run_folder / "data", error);
  for (const auto end = fs::recursive_directory_iterator(); !error && files != end;
       files.increment(error)) {
    ++progress;
  }
  return progress;
}

std::string fruitless(const std::vector<report::Start>& starts, const report::Start& own,
                      std::int64_t progress) {
  if (own.job.empty()) return "";
  int restarts = 0;
  for (auto start = starts.rbegin(); start != starts.rend(); ++start) {
    if (start->job != own.job || start->cluster != own.cluster || start->restart == 0 ||
        start->progress != progress)
      break;
    ++restarts;
  }
  if (restarts < kMaxFruitlessRestarts) return "";
  return fmt::format(
      "job {} was started again {} times and got no further; see its output, then submit again",
      own.job, restarts);
}

StartRecord::StartRecord(const fs::path& run_folder, std::int64_t round)
    : run_folder_(run_folder),
      round_(round),
      folder_(round == 0 ? run_folder : report::round_folder(run_folder, round)),
      starts_(report::read_starts(folder_)) {
  const std::int64_t now = std::time(nullptr), progress = progress_of(run_folder, round);
  // The start before was killed: its last line of metrics is the last that is known of it.
  if (!starts_.empty() && starts_.back().ended == 0)
    starts_.back().ended =
        std::max(starts_.back().begun, report::last_sign_of_life(run_folder, round));
  std::error_code ignored;
  const bool stalled = fs::remove(folder_ / kStalledFile, ignored);
  if (stalled && !starts_.empty() && !starts_.back().exit_code)
    starts_.back().reason = "no rank got on, and the watchdog ended it";
  const std::string job = from_environment("SLURM_JOB_ID");
  const report::Start own = {
      .job = job,
      .array_job = array_job_of_environment(),
      .cluster = from_environment("SLURM_CLUSTER_NAME"),
      .restart = number_from_environment("SLURM_RESTART_COUNT", 0),
      .begun = job.empty() ? now : number_from_environment("POLYPHASE_JOB_STARTED", now),
      .ended = 0,
      .progress = progress,
      .exit_code = std::nullopt,
      .reason = ""};
  refusal_ = fruitless(starts_, own, progress);
  starts_.push_back(own);
  if (!refusal_.empty()) {
    starts_.back().ended = now;
    starts_.back().exit_code = static_cast<int>(kNoProgress);
    starts_.back().reason = refusal_;
  }
  write();
  if (round != 0) return;
  for (const fs::path& alone : report::round_folders(run_folder))
    fs::remove(alone / report::kStartsFile, ignored);
}

StartRecord::~StartRecord() {
  if (left_out_ || starts_.back().ended != 0) return;
  starts_.back().ended = std::time(nullptr);
  try {
    write();
  } catch (const Error& error) {  // that which is on its way out matters more
    log_warning("{}", error.what());
  }
}

ExitCode StartRecord::end(ExitCode code, const std::string& reason) {
  const bool is_done = code == ExitCode::kDone || code == kTargetNotMet;
  const bool idle = starts_.back().job.empty() && is_done &&
                    progress_of(run_folder_, round_) == starts_.back().progress;
  if (idle) {  // a finished run is left as it was
    leave_out();
    return code;
  }
  std::string why = reason;
  if (code == ExitCode::kInterrupted) {
    const std::string no_progress =
        fruitless(starts_, starts_.back(), progress_of(run_folder_, round_));
    if (!no_progress.empty()) {
      code = kNoProgress;
      why = no_progress;
    }
  }
  starts_.back().ended = std::time(nullptr);
  starts_.back().exit_code = static_cast<int>(code);
  starts_.back().reason = why;
  write();
  return code;
}

void StartRecord::leave_out() {
  starts_.pop_back();
  if (starts_.empty()) {
    std::error_code ignored;
    fs::remove(folder_ / report::kStartsFile, ignored);
  } else {
    write();
  }
  left_out_ = true;
}

void StartRecord::write() const {
  write_file_atomically(folder_ / report::kStartsFile, report::to_text(starts_));
}

}  // namespace polyphase
