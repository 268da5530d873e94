// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <ctime>
#include <filesystem>
#include <map>
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

// Of an array over seeds the same whichever of them it has: their numbers are places in the list.
std::string queue_comment(const Submission& all, const PlannedJob& job) {
  return comment_of(job.what, all.folder, fmt::format("{}", fmt::join(all.seeds, ",")));
}

std::vector<std::string> submit_words(const Submission& all, const JobChain& chain,
                                      const PlannedJob& job, const std::string& previous) {
  std::vector<std::string> words = {"sbatch", "--parsable"};
  if (!previous.empty()) {
    // Of arrays, each seed goes on by itself.
    words.push_back(
        fmt::format("--dependency={}:{}", all.seeds.empty() ? "afterok" : "aftercorr", previous));
    words.emplace_back("--kill-on-invalid-dep=yes");
  }
  if (!all.seeds.empty()) words.push_back(fmt::format("--array={}", fmt::join(chain.runs, ",")));
  words.push_back("--comment=" + queue_comment(all, job));
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

void make_slurm_folder(const fs::path& run_folder) {
  std::error_code error;
  fs::create_directories(run_folder / "slurm", error);
  if (error) {
    fail<SystemError>("cannot make the folder {}: {}; name another with --set run_dir=…",
                      (run_folder / "slurm").string(), error.message());
  }
}

void write_files(const Submission& all) {
  for (const SubmittedRun& run : all.runs) {
    make_slurm_folder(run.folder);
    write_file_atomically(run.folder / "slurm" / "recipe.yaml", recipe::resolved(run.recipe));
  }
  for (const Script& script : all.scripts) write_file_atomically(script.path, script.text);
  if (all.seeds.empty()) return;
  SlurmJobs array;
  for (const SubmittedRun& run : all.runs) array.runs.push_back(run.folder.filename().string());
  write_slurm_jobs(all.folder, array);
}

// `id` as sbatch tells it, with a cluster where it was told one.
void note(const Submission& all, const JobChain& chain, const PlannedJob& job,
          const std::string& id, const std::string& previous) {
  const std::size_t end = id.find(';');
  for (const std::size_t run : chain.runs) {
    const std::string own = all.seeds.empty() ? "" : fmt::format("_{}", run);
    SlurmJobs jobs = read_slurm_jobs(all.runs[run].folder);
    jobs.jobs.push_back({.what = job.what,
                         .id = id.substr(0, end) + own,
                         .script = job.script.string(),
                         .after = previous.empty() ? "" : previous + own,
                         .time = time_now(),
                         .cluster = end == std::string::npos ? all.cluster : id.substr(end + 1)});
    write_slurm_jobs(all.runs[run].folder, jobs);
  }
}

// The chain's runs by the job in the queue that stands for this one; "": there is none.
std::map<std::string, std::vector<std::size_t>> runs_by_queued_job(const Submission& all,
                                                                   const JobChain& chain,
                                                                   const PlannedJob& job) {
  const std::vector<std::string> queued = find_queued(queue_comment(all, job));
  std::map<std::string, std::vector<std::size_t>> runs;
  for (const std::size_t run : chain.runs) {
    const auto is_of_run = [&](const std::string& id) {
      const std::size_t mark = id.find('_');
      return all.seeds.empty() ? mark == std::string::npos
                               : id.substr(std::min(mark, id.size())) == fmt::format("_{}", run);
    };
    const auto found = std::find_if(queued.begin(), queued.end(), is_of_run);
    runs[found == queued.end() ? "" : found->substr(0, found->find('_'))].push_back(run);
  }
  return runs;
}

// The chain's jobs from this one on. Each is noted before the next one is submitted. One that was
// submitted by who was killed before it could note it, for all runs or for some, is found in the
// queue.
void submit_chain(const Submission& all, const JobChain& chain, std::size_t number,
                  const std::string& previous) {
  if (number == chain.jobs.size()) return;
  const PlannedJob& job = chain.jobs[number];
  for (const auto& [known, runs] : runs_by_queued_job(all, chain, job)) {
    JobChain part = chain;
    part.runs = runs;
    const std::string told =
        known.empty() ? submit_script(submit_words(all, part, job, previous)) : known;
    note(all, part, job, told, previous);
    const std::string id = told.substr(0, told.find(';'));
    fmt::print("job {}: {}{}{}\n", id, job.script.string(),
               previous.empty() ? "" : fmt::format(", after job {}", previous),
               known.empty() ? "" : "; it was in the queue");
    std::fflush(stdout);
    submit_chain(all, part, number + 1, id);
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
  make_slurm_folder(all.folder);
  const RunLock lock(all.folder / "slurm" / "submit.lock");  // two at once would submit twice
  Submission still = plan_submission(options, how);
  still.cluster = own_cluster();
  write_files(still);
  for (const JobChain& chain : still.chains) submit_chain(still, chain, 0, chain.after);
  fmt::print("where they stand: polyphase status {}\n", shell_word(all.folder.string()));
  return ExitCode::kDone;
}

}  // namespace polyphase
