// SPDX-License-Identifier: Apache-2.0
#include "cli/submission.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <system_error>

#include "base/log.hpp"
#include "cli/submission_checks.hpp"
#include "control/decide.hpp"
#include "control/halving.hpp"
#include "control/next_jobs.hpp"
#include "control/run_folder.hpp"
#include "io/file.hpp"
#include "recipe/load.hpp"
#include "report/run_state.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

// Whether every corpus was prepared at some time; a phase's job prepares by itself what has changed
// since.
bool is_prepared(const recipe::Recipe& recipe) {
  return std::all_of(
      recipe.corpora.begin(), recipe.corpora.end(), [&recipe](const recipe::Corpus& corpus) {
        std::error_code ignored;
        if (!corpus.made_by.empty()) return true;  // a phase's job prepares it
        return fs::exists(run_folder_of(recipe) / "data" / corpus.name / "corpus.json", ignored);
      });
}

std::string own_program() {
  std::error_code error;
  const fs::path path = fs::read_symlink("/proc/self/exe", error);
  return error ? "polyphase" : path.string();
}

struct Step {  // of the way: a job that would be submitted
  std::string what, name;
  std::optional<std::size_t> phase;  // of the recipe; none: of all, or of the data
  std::int64_t round = 0;            // of a recipe that iterates

  std::string script() const { return name + ".sbatch"; }
};

Step step_of_phase(const recipe::Recipe& recipe, std::size_t phase, std::int64_t round) {
  const std::string& name = recipe.phases[phase].name;
  return {what_of_phase(name, round), stem_of_phase(phase, name), phase, round};
}

// The round that is to be trained or judged next.
Round round_at(const SubmittedRun& run) {
  const Journal journal = read_journal(run.folder / kJournalFile);
  return journal.rounds.empty() ? first_round(run.recipe) : journal.rounds.back();
}

// Jobs for all that is not done, in order.
std::vector<Step> steps_of(const SubmittedRun& run, bool one_job) {
  const report::RunState state = report::run_state_so_far(run.folder);
  if (!state.rounds.ended.empty()) return {};
  const Round round = round_at(run);
  const auto is_done = [&state](const PhaseUse& use) {
    return std::any_of(state.phases.begin(), state.phases.end(),
                       [&use](const report::PhaseState& phase) {
                         return phase.folder == use.folder && phase.state == "done";
                       });
  };
  std::vector<Step> steps;
  if (search_of(run.recipe, round) != nullptr) {  // that job sees what can be trained beside it
    steps.push_back(step_of_phase(run.recipe, last_phase_of(round).number, round.number));
  } else if (run.recipe.iterate) {
    for (const PhaseUse& use : phases_for_jobs(run.recipe, round, is_done))
      steps.push_back(step_of_phase(run.recipe, use.number, round.number));
  } else {
    for (const PhaseUse& use : round.phases) {
      if (!is_done(use)) steps.push_back(step_of_phase(run.recipe, use.number, 0));
    }
  }
  if (steps.empty()) return {};
  if (one_job) steps = {{kWholeRun, "01-run", std::nullopt, 0}};
  if (!is_prepared(run.recipe))
    steps.insert(steps.begin(), {kPrepare, "00-prepare", std::nullopt, 0});
  return steps;
}

class Planner {
 public:
  Planner(const RecipeOptions& options, const SubmitOptions& how) : one_job_(how.one_job) {
    const std::vector<std::int64_t>& seeds = how.seeds;
    all_.seeds = seeds;
    recipe::Recipe whole = recipe::load(options.file, options.overrides);
    all_.folder = run_folder_of(whole);
    if (seeds.empty()) {
      all_.runs.push_back({all_.folder, std::move(whole)});
    }
    for (const std::int64_t seed : seeds) {
      const fs::path folder = all_.folder / fmt::format("seed-{}", seed);
      RecipeOptions own = options;
      own.overrides.push_back(fmt::format("seed={}", seed));
      own.overrides.push_back("run_dir=" + folder.string());
      all_.runs.push_back({folder, recipe::load(own.file, own.overrides)});
    }
    check_submitted(all_.runs, one_job_);
    template_ = default_template();
    if (!first().slurm || first().slurm->script.empty()) return;
    template_name_ = recipe::absolute_path(first(), first().slurm->script);
    try {
      template_ = read_file(template_name_, 1 << 20);
    } catch (const SystemError& error) {
      fail<RecipeError>("slurm.script: {}", error.what());
    }
  }

  Submission plan() {
    std::vector<std::string> queued;  // jobs that stand for what is to be done
    for (std::size_t r = 0; r < all_.runs.size(); ++r) {
      const std::vector<Step> steps = steps_of(all_.runs[r], one_job_);
      if (steps.empty()) continue;
      std::string after;
      const std::vector<Step> missing = without_queued(r, steps, queued, after);
      if (!missing.empty()) add(r, missing, after);
    }
    if (all_.chains.empty()) {
      all_.nothing_to_do =
          queued.empty() ? "all is done; nothing to submit"
                         : fmt::format("nothing to add; in the queue: {}", fmt::join(queued, ", "));
      return all_;
    }
    add_scripts();
    return all_;
  }

 private:
  const recipe::Recipe& first() const { return all_.runs.front().recipe; }
  bool goes_round() const { return first().iterate && !one_job_; }

  // Whether a job of another cluster that sees the same folder is queued nobody here can tell, nor
  // which of the steps it does: of rounds it may go on with all that follow.
  static void refuse_elsewhere(const SubmittedRun& run, const QueuedJobs& all) {
    for (const SubmittedJob& job : all.jobs.jobs) {
      if (!all.is_elsewhere(job)) continue;
      fail<RecipeError>(
          "{}: job {} ({}) was submitted on cluster {}, and this is {}, where nobody knows whether "
          "it is queued; submit there, or, if it is not, remove jobs.json and jobs.txt in {}",
          run.folder.string(), job.id, job.what, job.cluster, all.cluster,
          (run.folder / "slurm").string());
    }
  }

  // Steps that no job in the queue stands for. They can only come behind those that are queued: a
  // job that waits for another can't be made to wait for a new one.
  std::vector<Step> without_queued(std::size_t place, const std::vector<Step>& steps,
                                   std::vector<std::string>& words, std::string& after) const {
    const SubmittedRun& run = all_.runs[place];
    const QueuedJobs all = read_queued_jobs(run.folder);
    refuse_elsewhere(run, all);
    const std::vector<SubmittedJob>& jobs = all.jobs.jobs;
    if (!all.queue.known && !jobs.empty()) {
      fail<SystemError>(
          "{}: squeue is not here or does not answer, so that nobody knows whether jobs of this "
          "run are queued; submit where Slurm is",
          run.folder.string());
    }
    std::vector<std::string> live, own;
    std::set<std::string> queued;
    bool has_trials = false, goes_on = false;
    for (const SubmittedJob& job : jobs) {
      const QueuedJob* found = all.find(job);
      if (found == nullptr || !is_live(*found)) continue;
      live.push_back(job.id);
      own.push_back(fmt::format("{} ({}, {})", job.id, job.what, found->state));
      queued.insert(job.what);
      const bool is_trial = job.what.starts_with(kTrial);
      has_trials = has_trials || is_trial;
      goes_on = goes_on || (!is_trial && job.what != kPrepare);
    }
    words.insert(words.end(), own.begin(), own.end());
    if (live.empty()) return steps;
    const auto refuse = [&](const char* why) {
      fail<RecipeError>("{}: {}: {}; wait for them, or `scancel {}`, and submit again",
                        run.folder.string(), why, fmt::join(own, ", "), fmt::join(live, " "));
    };
    // Trials of an array do not go on by themselves: the job behind them does.
    if (has_trials && !goes_on)
      refuse("of this run only trials are in the queue, and nothing that follows them");
    if (has_trials || queued.count(kWholeRun) > 0) return {};
    const char* others = "jobs of this run are in the queue";
    if (one_job_ && goes_on) refuse(others);
    queued.insert(kPrepare);  // a phase's job prepares by itself
    const auto is_queued = [&queued](const Step& step) { return queued.count(step.what) > 0; };
    // A job of a round before these submits them itself.
    if (goes_round() && goes_on && std::none_of(steps.begin(), steps.end(), is_queued)) return {};
    const auto first_missing = std::find_if_not(steps.begin(), steps.end(), is_queued);
    if (first_missing == steps.end()) return {};
    if (std::any_of(first_missing, steps.end(), is_queued)) refuse(others);
    after = live.back().substr(0, live.back().find('_'));
    // A seed goes on behind its own place in an array: jobs of later rounds are none, and of
    // another list of seeds it is another place.
    if (!all_.seeds.empty() && live.back() != fmt::format("{}_{}", after, place)) refuse(others);
    return {first_missing, steps.end()};
  }

  // Runs of several seeds that stand at the same place go on as arrays.
  void add(std::size_t run, const std::vector<Step>& steps, const std::string& after) {
    JobChain chain = {.runs = {run}, .jobs = {}, .after = after};
    for (const Step& step : steps) {
      chain.jobs.push_back(
          {.what = step.what, .script = all_.folder / "slurm" / step.script(), .arguments = {}});
      if (step.round > 0) chain.jobs.back().arguments = {"--round", fmt::format("{}", step.round)};
      steps_[step.name] = step;
    }
    const auto same = std::find_if(all_.chains.begin(), all_.chains.end(), [&](JobChain& other) {
      return other.after == chain.after &&
             std::equal(other.jobs.begin(), other.jobs.end(), chain.jobs.begin(), chain.jobs.end(),
                        [](const PlannedJob& a, const PlannedJob& b) { return a.what == b.what; });
    });
    if (same == all_.chains.end()) {
      all_.chains.push_back(std::move(chain));
    } else {
      same->runs.push_back(run);
    }
  }

  // Of a run that goes round those of all phases: its later rounds need them. Of several seeds each
  // run has its own ones for that, which are no arrays.
  void add_scripts() {
    if (goes_round()) {
      all_.goes_round = true;
      const auto has_arrays = [](const recipe::Strategy& strategy) {
        return strategy.search && strategy.search->ranks_per_trial == 0;
      };
      const auto& strategies = first().iterate->strategies;
      all_.has_arrays = std::any_of(strategies.begin(), strategies.end(), has_arrays);
      for (std::size_t i = 0; i < first().phases.size(); ++i) {
        const Step step = step_of_phase(first(), i, 1);
        steps_[step.name] = step;
      }
    }
    const auto slurm_of = [](const fs::path& folder) {
      return shell_word(fs::absolute(folder / "slurm").lexically_normal().string());
    };
    for (const auto& [name, step] : steps_) {
      if (all_.seeds.empty()) {
        add_script(step, all_.folder, slurm_of(all_.folder), "");
        continue;
      }
      const std::string all = shell_word(fs::absolute(all_.folder).lexically_normal().string());
      add_script(step, all_.folder, all + "/seed-${seeds[$SLURM_ARRAY_TASK_ID]}/slurm",
                 fmt::format("({})", fmt::join(all_.seeds, " ")));
      for (const SubmittedRun& run : all_.runs) {
        if (goes_round() && step.phase) add_script(step, run.folder, slurm_of(run.folder), "");
      }
    }
  }

  void add_script(const Step& step, const fs::path& folder, const std::string& own_slurm,
                  const std::string& seeds) {
    const recipe::Recipe& recipe = first();
    const recipe::Phase* phase = step.phase ? &recipe.phases[*step.phase] : nullptr;
    const fs::path slurm = fs::absolute(folder / "slurm").lexically_normal();
    BatchJob job;
    job.name = recipe.name + ":" + (phase != nullptr ? phase->name : step.what);
    job.folder = fs::current_path().string();
    job.output = (slurm / (step.name + (seeds.empty() ? "-%j" : "-%A_%a") + ".out")).string();
    job.resources = step.what == kWholeRun ? recipe::slurm_job_of_all(recipe)
                                           : recipe::slurm_job_of(recipe, phase);
    job.program = own_program();
    job.seeds = seeds;
    job.num_runs = all_.runs.size();
    job.command = (step.what == kPrepare ? "prepare " : "run ") + own_slurm + "/recipe.yaml";
    if (phase != nullptr) {
      job.command += " --phase " + shell_word(phase->name);
      if (goes_round()) job.next_jobs = own_slurm + "/" + kNextScript;
      // An array's number is that of a round, where it is not that of a seed.
      if (goes_round() && seeds.empty())
        job.command += " ${SLURM_ARRAY_TASK_ID:+--trial $SLURM_ARRAY_TASK_ID}";
      job.command += " \"$@\"";
    }
    all_.scripts.push_back({.path = folder / "slurm" / step.script(),
                            .text = batch_script(template_, template_name_, job)});
  }

  Submission all_;
  const bool one_job_;
  std::string template_, template_name_;
  std::map<std::string, Step> steps_;  // by their names: those that need scripts
};

}  // namespace

Submission plan_submission(const RecipeOptions& options, const SubmitOptions& how) {
  return Planner(options, how).plan();
}

}  // namespace polyphase
