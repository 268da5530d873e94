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

// The elements that the chain has of an array over seeds; "": it is none.
std::string array_of(const Submission& all, const JobChain& chain) {
  return all.seeds.empty() ? "" : fmt::format("{}", fmt::join(chain.runs, ","));
}

std::vector<std::string> submit_words(const Submission& all, const JobChain& chain,
                                      const PlannedJob& job, const std::string& previous) {
  const std::string array = array_of(all, chain);
  std::vector<std::string> words = {"sbatch", "--parsable"};
  if (!previous.empty()) {
    // Of arrays, each seed goes on by itself.
    words.push_back(
        fmt::format("--dependency={}:{}", all.seeds.empty() ? "afterok" : "aftercorr", previous));
    words.emplace_back("--kill-on-invalid-dep=yes");
  }
  if (!array.empty()) words.push_back("--array=" + array);
  words.push_back("--comment=" + comment_of(job.what, all.folder, array));
  words.push_back(job.script.string());
  words.insert(words.end(), job.arguments.begin(), job.arguments.end());
  return words;
}

void show_chain(const Submission& all, const JobChain& chain) {
  std::string previous = chain.after;
  for (const PlannedJob& job : chain.jobs) {
    std::string line;
    for (const std::string& word : submit_words(all, chain, job, previous))
      line += (line.empty() ? "" : " ") + (word.ends_with("$previous") ? word : shell_word(word));
    fmt::print("previous=$({})\n", line);
    previous = "$previous";
  }
}

// What the script of a round's last job submits.
void show_rounds(const SubmittedRun& run, bool has_arrays) {
  const std::string scripts = shell_word((run.folder / "slurm").string());
  const char* after = "afterok:JOB --kill-on-invalid-dep=yes";
  if (has_arrays)
    fmt::print("sbatch --parsable --dependency={} --array=ROUNDS {}/PHASE.sbatch\n", after,
               scripts);
  fmt::print("sbatch --parsable --dependency={} {}/PHASE.sbatch --round ROUND\n", after, scripts);
}

void show(const Submission& all) {
  for (const Script& script : all.scripts)
    fmt::print("# ---- {}\n{}\n", script.path.string(), script.text);
  fmt::print("# ---- nothing is submitted; it would be, with\n");
  for (const JobChain& chain : all.chains) show_chain(all, chain);
  if (!all.goes_round) return;
  fmt::print(
      "# and, as its rounds go, from the script of each round's last job (JOB), until they have "
      "ended: for the phases that the next rounds train\n");
  for (const SubmittedRun& run : all.runs) show_rounds(run, all.has_arrays);
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
  for (const Script& script : all.scripts) {
    fs::create_directories(script.path.parent_path());
    write_file_atomically(script.path, script.text);
  }
  if (all.seeds.empty()) return;
  SlurmJobs array;
  for (const SubmittedRun& run : all.runs) array.runs.push_back(run.folder.filename().string());
  write_slurm_jobs(all.folder, array);
}

void note(const Submission& all, const JobChain& chain, const PlannedJob& job,
          const std::string& id, const std::string& previous) {
  for (const std::size_t run : chain.runs) {
    const std::string own = all.seeds.empty() ? "" : fmt::format("_{}", run);
    SlurmJobs jobs = read_slurm_jobs(all.runs[run].folder);
    jobs.jobs.push_back({.what = job.what,
                         .id = id + own,
                         .script = job.script.string(),
                         .after = previous.empty() ? "" : previous + own,
                         .time = time_now()});
    write_slurm_jobs(all.runs[run].folder, jobs);
  }
}

// Each job is noted before the next one is submitted. One that was submitted by who was killed
// before it could note it is found in the queue.
void submit_chain(const Submission& all, const JobChain& chain) {
  std::string previous = chain.after;
  for (const PlannedJob& job : chain.jobs) {
    const std::string known = find_queued(comment_of(job.what, all.folder, array_of(all, chain)));
    const std::string id =
        known.empty() ? submit_script(submit_words(all, chain, job, previous)) : known;
    note(all, chain, job, id, previous);
    fmt::print("job {}: {}{}{}\n", id, job.script.string(),
               previous.empty() ? "" : fmt::format(", after job {}", previous),
               known.empty() ? "" : "; it was in the queue");
    std::fflush(stdout);
    previous = id;
  }
}

}  // namespace

ExitCode submit_command(const RecipeOptions& options, const SubmitOptions& how) {
  if (std::set<std::int64_t>(how.seeds.begin(), how.seeds.end()).size() < how.seeds.size())
    fail<RecipeError>("--seeds {}: each seed may come once", fmt::join(how.seeds, ","));
  const Submission all = plan_submission(options, how);
  if (all.chains.empty()) {
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
  for (const JobChain& chain : still.chains) submit_chain(still, chain);
  fmt::print("where they stand: polyphase status {}\n", shell_word(all.folder.string()));
  return ExitCode::kDone;
}

}  // namespace polyphase
