// SPDX-License-Identifier: Apache-2.0
#include "control/starts.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/log.hpp"
#include "io/checkpoint.hpp"
#include "io/file.hpp"
#include "io/made_corpus.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kFile = "starts.json";

std::int64_t from_environment(const char* name, std::int64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : std::strtoll(value, nullptr, 10);
}

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string array_job_of_environment() {
  const std::string array = from_environment("SLURM_ARRAY_JOB_ID");
  return array.empty() ? "" : array + "_" + from_environment("SLURM_ARRAY_TASK_ID");
}

json to_json(const Start& start) {
  return {{"job", start.job},
          {"array_job", start.array_job},
          {"restart", start.restart},
          {"begun", start.begun},
          {"ended", start.ended},
          {"progress", start.progress},
          {"exit_code", start.exit_code ? json(*start.exit_code) : json()},
          {"reason", start.reason}};
}

Start start_of(const json& object) {
  Start start = {.job = object.at("job"),
                 .array_job = object.at("array_job"),
                 .restart = object.at("restart"),
                 .begun = object.at("begun"),
                 .ended = object.at("ended"),
                 .progress = object.at("progress"),
                 .exit_code = std::nullopt,
                 .reason = object.at("reason")};
  if (!object.at("exit_code").is_null()) start.exit_code = object.at("exit_code").get<int>();
  return start;
}

std::int64_t modified(const fs::path& file) {
  struct stat status {};
  return ::stat(file.c_str(), &status) == 0 ? status.st_mtime : 0;
}

// Calls visit(folder) for round-1/01-pretrain and its like.
template <class Visit>
void for_each_phase_folder(const fs::path& run_folder, const Visit& visit) {
  std::error_code error;
  for (const fs::directory_entry& round : fs::directory_iterator(run_folder, error)) {
    if (!round.path().filename().string().starts_with("round-")) continue;
    std::error_code ignored;
    for (const fs::directory_entry& phase : fs::directory_iterator(round.path(), ignored)) {
      if (phase.is_directory(ignored)) visit(phase.path());
    }
  }
}

std::int64_t last_sign_of_life(const fs::path& run_folder) {
  std::int64_t last = modified(run_folder / "status.json");
  for_each_phase_folder(run_folder, [&last](const fs::path& phase) {
    last = std::max(last, modified(phase / "metrics.jsonl"));
  });
  return last;
}

}  // namespace

std::int64_t progress_of(const fs::path& run_folder) {
  std::int64_t progress = 0;
  for_each_phase_folder(run_folder, [&progress](const fs::path& phase) {
    const std::vector<CheckpointEntry> saved = find_checkpoints(phase / "checkpoints");
    progress += 1 + (saved.empty() ? 0 : saved.back().step);
    std::error_code none;
    const auto made_bytes = fs::file_size(phase / kPairsFile, none);
    if (!none) progress += static_cast<std::int64_t>(made_bytes);
  });
  std::error_code error;
  fs::recursive_directory_iterator files(run_folder / "data", error);
  for (const auto end = fs::recursive_directory_iterator(); !error && files != end;
       files.increment(error)) {
    ++progress;
  }
  return progress;
}

std::string fruitless(const std::vector<Start>& starts, const std::string& job,
                      std::int64_t progress) {
  if (job.empty()) return "";
  int restarts = 0;
  for (auto start = starts.rbegin(); start != starts.rend(); ++start) {
    if (start->job != job || start->restart == 0 || start->progress != progress) break;
    ++restarts;
  }
  if (restarts < kMaxFruitlessRestarts) return "";
  return fmt::format(
      "job {} was started again {} times and got no further; see its output, then submit again",
      job, restarts);
}

std::vector<Start> read_starts(const fs::path& run_folder) {
  std::error_code ignored;
  if (!fs::exists(run_folder / kFile, ignored)) return {};
  try {
    std::vector<Start> starts;
    for (const json& object : json::parse(read_file(run_folder / kFile)))
      starts.push_back(start_of(object));
    return starts;
  } catch (const json::exception& error) {
    log_warning("{}: not a list of starts ({}); it is begun anew", (run_folder / kFile).string(),
                error.what());
    return {};
  }
}

double seconds_of(const std::vector<Start>& starts, std::size_t index, const fs::path& run_folder,
                  std::int64_t now) {
  const Start& start = starts[index];
  std::error_code ignored;
  const bool is_last = index + 1 == starts.size();
  std::int64_t end = start.ended;
  if (end == 0 && is_last)
    end = fs::exists(run_folder / "run.lock", ignored) ? now : last_sign_of_life(run_folder);
  return static_cast<double>(std::max<std::int64_t>(0, end - start.begun));
}

StartRecord::StartRecord(const fs::path& run_folder)
    : run_folder_(run_folder), starts_(read_starts(run_folder)) {
  const std::int64_t now = std::time(nullptr), progress = progress_of(run_folder);
  // The start before was killed: its last line of metrics is the last that is known of it.
  if (!starts_.empty() && starts_.back().ended == 0)
    starts_.back().ended = std::max(starts_.back().begun, last_sign_of_life(run_folder));
  const std::string job = from_environment("SLURM_JOB_ID");
  refusal_ = fruitless(starts_, job, progress);
  starts_.push_back({.job = job,
                     .array_job = array_job_of_environment(),
                     .restart = from_environment("SLURM_RESTART_COUNT", 0),
                     .begun = job.empty() ? now : from_environment("POLYPHASE_JOB_STARTED", now),
                     .ended = 0,
                     .progress = progress,
                     .exit_code = std::nullopt,
                     .reason = ""});
  if (!refusal_.empty()) {
    starts_.back().ended = now;
    starts_.back().exit_code = static_cast<int>(kNoProgress);
    starts_.back().reason = refusal_;
  }
  write();
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
  const bool idle = starts_.back().job.empty() && code == ExitCode::kDone &&
                    progress_of(run_folder_) == starts_.back().progress;
  if (idle) {  // a finished run is left as it was
    leave_out();
    return code;
  }
  std::string why = reason;
  if (code == ExitCode::kInterrupted) {
    const std::string no_progress =
        fruitless(starts_, starts_.back().job, progress_of(run_folder_));
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
    fs::remove(run_folder_ / kFile, ignored);
  } else {
    write();
  }
  left_out_ = true;
}

void StartRecord::write() const {
  json list = json::array();
  for (const Start& start : starts_) list.push_back(to_json(start));
  write_file_atomically(run_folder_ / kFile, list.dump(1) + "\n");
}

}  // namespace polyphase
