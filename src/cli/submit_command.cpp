// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <ctime>
#include <filesystem>
#include <set>
#include <system_error>

#include "base/log.hpp"
#include "cli/commands.hpp"
#include "cli/shared_recipe.hpp"
#include "cli/submission.hpp"
#include "control/next_jobs.hpp"
#include "control/run_folder.hpp"
#include "io/file.hpp"
#include "io/run_lock.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

std::string time_now() {
  std::array<char, 32> text = {};
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  std::strftime(text.data(), text.size(), "%FT%TZ", ::gmtime_r(&now, &parts));
  return text.data();
}

std::vector<std::string> submit_words(const Submission& all, const PlannedJob& job,
                                      const std::string& previous) {
  std::vector<std::string> words = {"sbatch", "--parsable"};
  if (!previous.empty()) {
    // Of arrays, each seed goes on by itself.
    words.push_back(
        fmt::format("--dependency={}:{}", all.seeds.empty() ? "afterok" : "aftercorr", previous));
    words.emplace_back("--kill-on-invalid-dep=yes");
  }
  words.push_back(job.script.string());
  return words;
}

std::vector<PlannedJob> scripts_of(const Submission& all) {
  std::vector<PlannedJob> scripts = all.jobs;
  scripts.insert(scripts.end(), all.later.begin(), all.later.end());
  return scripts;
}

void show(const Submission& all) {
  std::string previous = all.after;
  for (const PlannedJob& job : scripts_of(all)) {
    fmt::print("# ---- {}\n{}\n", job.script.string(), job.text);
  }
  fmt::print("# ---- nothing is submitted; it would be, with\n");
  for (const PlannedJob& job : all.jobs) {
    std::vector<std::string> words = submit_words(all, job, previous);
    words.back() = shell_word(words.back());
    fmt::print("previous=$({})\n", fmt::join(words, " "));
    previous = "$previous";
  }
  if (!all.goes_round) return;
  fmt::print(
      "# and, as its rounds go, from the script of each job that has ended well (JOB), until they "
      "have ended\n");
  for (const SubmittedRun& run : all.runs) {
    std::vector<std::string> words = {"sbatch", "--parsable", "--dependency=afterok:JOB",
                                      "--kill-on-invalid-dep=yes"};
    const auto print = [&](const char* script) {
      words.push_back(shell_word((run.folder / "slurm" / script).string()));
      fmt::print("{}\n", fmt::join(words, " "));
      words.pop_back();
    };
    print(kRunScript);
    if (!all.has_arrays) continue;
    words.emplace_back("--array=ROUNDS");  // in front of the same one
    print(kTrialScript);
  }
}

void write_files(const Submission& all) {
  for (const SubmittedRun& run : all.runs) {
    std::error_code error;
    fs::create_directories(run.folder / "slurm", error);
    if (error) {
      fail<SystemError>("cannot make the folder {}: {}; name another with --set run_dir=…",
                        (run.folder / "slurm").string(), error.message());
    }
    write_file_atomically(run.folder / "slurm" / "recipe.yaml", recipe::resolved(run.recipe));
  }
  for (const PlannedJob& job : scripts_of(all)) {
    fs::create_directories(job.script.parent_path());
    write_file_atomically(job.script, job.text);
  }
  if (all.seeds.empty()) return;
  SlurmJobs array;
  for (const SubmittedRun& run : all.runs) array.runs.push_back(run.folder.filename().string());
  write_slurm_jobs(all.folder, array);
}

// Each job is noted before the next one is submitted: what a kill leaves is known.
void submit_all(const Submission& all) {
  std::string previous = all.after;
  for (const PlannedJob& job : all.jobs) {
    const std::string id = submit_script(submit_words(all, job, previous));
    for (std::size_t i = 0; i < all.runs.size(); ++i) {
      const std::string own = all.seeds.empty() ? "" : fmt::format("_{}", i);
      SlurmJobs jobs = read_slurm_jobs(all.runs[i].folder);
      jobs.jobs.push_back({.what = job.what,
                           .id = id + own,
                           .script = job.script.string(),
                           .after = previous.empty() ? "" : previous + own,
                           .time = time_now()});
      write_slurm_jobs(all.runs[i].folder, jobs);
    }
    fmt::print("job {}: {}{}\n", id, job.script.string(),
               previous.empty() ? "" : fmt::format(", after job {}", previous));
    std::fflush(stdout);
    previous = id;
  }
}

}  // namespace

ExitCode submit_command(const RecipeOptions& options, const SubmitOptions& how) {
  if (std::set<std::int64_t>(how.seeds.begin(), how.seeds.end()).size() < how.seeds.size())
    fail<RecipeError>("--seeds {}: each seed may come once", fmt::join(how.seeds, ","));
  const Submission all = plan_submission(options, how);
  if (all.jobs.empty()) {
    fmt::print("{}: {}\n", all.folder.string(), all.nothing_to_do);
    return ExitCode::kDone;
  }
  if (how.dry_run) {
    show(all);
    return ExitCode::kDone;
  }
  fs::create_directories(all.folder / "slurm");
  const RunLock lock(all.folder / "slurm" / "submit.lock");  // two at once would submit twice
  const Submission still = plan_submission(options, how);
  write_files(still);
  submit_all(still);
  fmt::print("where they stand: polyphase status {}\n", shell_word(all.folder.string()));
  return ExitCode::kDone;
}

}  // namespace polyphase
