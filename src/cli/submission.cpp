// SPDX-License-Identifier: Apache-2.0
#include "cli/submission.hpp"

#include <algorithm>
#include <functional>
#include <set>
#include <sstream>
#include <system_error>

#include "base/log.hpp"
#include "cli/other_runs.hpp"
#include "cli/shared_recipe.hpp"
#include "control/next_jobs.hpp"
#include "control/run_folder.hpp"
#include "io/file.hpp"
#include "recipe/load.hpp"
#include "report/run_state.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

// Faults of several looks at a recipe, each told once.
class AllFaults {
 public:
  void look(const std::function<void()>& check) {
    try {
      check();
    } catch (const RecipeError& error) {
      std::istringstream lines(error.what());
      for (std::string line; std::getline(lines, line);) {
        if (known_.insert(line).second) text_ += (text_.empty() ? "" : "\n") + line;
      }
    }
  }
  void throw_if_any() const {
    if (!text_.empty()) throw RecipeError(text_);
  }

 private:
  std::set<std::string> known_;
  std::string text_;
};

std::int64_t ranks_of(const recipe::SlurmJob& job) {
  return job.ranks.value_or(job.nodes.value_or(1));
}

// A job of a recipe that iterates has what stands around the phases.
recipe::SlurmJob job_of_rounds(const recipe::Recipe& recipe) {
  recipe::SlurmJob job;
  if (recipe.slurm) job = *recipe.slurm;
  return job;
}

// Every phase for the ranks of its own job.
void check_layouts(const recipe::Recipe& recipe, AllFaults& faults) {
  if (recipe.iterate) {
    const std::int64_t ranks = ranks_of(job_of_rounds(recipe));
    faults.look([&] { recipe::check_layout(recipe, ranks); });
    faults.look([&] { check_other_runs(recipe, ranks); });
    faults.look([&] { recipe::check_strategy_layouts(recipe, ranks); });
    return;
  }
  for (const recipe::Phase& phase : recipe.phases) {
    recipe::Recipe alone = recipe;
    alone.phases = {phase};
    const std::int64_t ranks = ranks_of(recipe::slurm_job_of(recipe, &phase));
    faults.look([&] { recipe::check_layout(alone, ranks); });
    faults.look([&] { check_other_runs(alone, ranks); });
  }
}

void check_all(const recipe::Recipe& recipe, AllFaults& faults) {
  check_layouts(recipe, faults);
  faults.look([&] { check_given_files(recipe); });
  faults.look([&] { check_all_patterns(recipe); });
  faults.look([&] { refuse_changed_recipe(run_folder_of(recipe), recipe); });
}

std::string what_of(const recipe::Phase& phase) { return "phase " + phase.name; }

std::set<std::string> phases_done(const fs::path& run_folder) {
  std::set<std::string> done;
  for (const report::PhaseState& phase : report::run_state_so_far(run_folder).phases) {
    if (phase.state == "done") done.insert(phase.name);
  }
  return done;
}

bool has_ended(const fs::path& run_folder) {
  return !report::run_state_so_far(run_folder).rounds.ended.empty();
}

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
  const recipe::Phase* phase = nullptr;
};

// Jobs for all that is not done, in order.
std::vector<Step> steps_of(const SubmittedRun& run, bool every_phase) {
  std::vector<Step> steps;
  const std::set<std::string> done = phases_done(run.folder);
  if (run.recipe.iterate) {
    if (!has_ended(run.folder)) steps.push_back({"run", "01-run", nullptr});
  } else {
    for (std::size_t i = 0; i < run.recipe.phases.size(); ++i) {
      const recipe::Phase& phase = run.recipe.phases[i];
      if (!every_phase && done.count(phase.name) > 0) continue;
      steps.push_back({what_of(phase), fmt::format("{:02}-{}", i + 1, phase.name), &phase});
    }
    if (every_phase && done.size() == run.recipe.phases.size()) steps.clear();
  }
  if (!steps.empty() && !is_prepared(run.recipe))
    steps.insert(steps.begin(), {"prepare", "00-prepare", nullptr});
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
    AllFaults faults;
    for (const SubmittedRun& run : all_.runs) check_all(run.recipe, faults);
    faults.throw_if_any();
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
    std::vector<Step> steps;
    for (const SubmittedRun& run : all_.runs) {
      const std::vector<Step> own = steps_of(run, !all_.seeds.empty());
      if (own.size() > steps.size()) steps = own;
    }
    if (steps.empty()) {
      all_.nothing_to_do = "all is done; nothing to submit";
      return all_;
    }
    for (const Step& step : without_queued(steps)) add(step);
    if (!all_.jobs.empty() && is_chain()) add_later();
    return all_;
  }

 private:
  const recipe::Recipe& first() const { return all_.runs.front().recipe; }
  bool is_chain() const { return first().iterate && !one_job_; }

  // Steps that no job in the queue stands for. They can only come behind those that are queued: a
  // job that waits for another can't be made to wait for a new one.
  std::vector<Step> without_queued(const std::vector<Step>& steps) {
    std::vector<std::string> live, words;
    std::set<std::string> queued;
    for (const SubmittedRun& run : all_.runs) {
      const auto [jobs, queue] = read_queued_jobs(run.folder);
      if (!queue.known && !jobs.jobs.empty()) {
        fail<SystemError>(
            "{}: squeue is not here or does not answer, so that nobody knows whether jobs of this "
            "run are queued; submit where Slurm is",
            run.folder.string());
      }
      for (const SubmittedJob& job : jobs.jobs) {
        const auto found = queue.jobs.find(job.id);
        if (found == queue.jobs.end() || !is_live(found->second)) continue;
        live.push_back(job.id);
        words.push_back(fmt::format("{} ({}, {})", job.id, job.what, found->second.state));
        queued.insert(job.what);
      }
    }
    if (live.empty()) return steps;
    // Trials of an array do not go on by themselves: the job behind them does.
    const bool goes_on = queued.count("run") > 0;
    if (first().iterate && !goes_on && queued != std::set<std::string>{"prepare"}) {
      fail<RecipeError>(
          "{}: of this run only trials are in the queue, and nothing that follows them: {}; wait "
          "for them, or `scancel {}`, and submit again",
          all_.folder.string(), fmt::join(words, ", "), fmt::join(live, " "));
    }
    queued.insert("prepare");  // a phase's job prepares by itself
    const auto is_queued = [&queued](const Step& step) { return queued.count(step.what) > 0; };
    const auto first_missing = std::find_if_not(steps.begin(), steps.end(), is_queued);
    if (first_missing == steps.end()) {
      all_.nothing_to_do = fmt::format("nothing to add; in the queue: {}", fmt::join(words, ", "));
      return {};
    }
    if (!all_.seeds.empty() || std::any_of(first_missing, steps.end(), is_queued)) {
      fail<RecipeError>(
          "{}: jobs of this run are in the queue: {}; wait for them, or `scancel {}` and submit "
          "again",
          all_.folder.string(), fmt::join(words, ", "), fmt::join(live, " "));
    }
    all_.after = live.back();
    return {first_missing, steps.end()};
  }

  // What all jobs of a run have, but for its command.
  BatchJob job_of(const Step& step, const fs::path& slurm, const std::string& number) const {
    const recipe::Recipe& recipe = first();
    BatchJob job;
    const std::string short_name = step.phase != nullptr ? step.phase->name : step.what;
    job.name = recipe.name + ":" + short_name;
    job.folder = fs::current_path().string();
    job.output = (slurm / (step.name + number + ".out")).string();
    const bool is_of_phase = step.phase != nullptr || step.what == "prepare";
    job.resources = is_of_phase ? recipe::slurm_job_of(recipe, step.phase) : job_of_rounds(recipe);
    job.program = own_program();
    return job;
  }

  void add(const Step& step) {
    const fs::path slurm = fs::absolute(all_.folder / "slurm").lexically_normal();
    BatchJob job = job_of(step, slurm, all_.seeds.empty() ? "-%j" : "-%A_%a");
    job.num_runs = all_.runs.size();
    if (!all_.seeds.empty()) job.seeds = fmt::format("({})", fmt::join(all_.seeds, " "));
    const std::string own = all_.seeds.empty() ? shell_word(slurm.string())
                                               : shell_word(slurm.parent_path().string()) +
                                                     "/seed-${seeds[$SLURM_ARRAY_TASK_ID]}/slurm";
    job.command = (step.what == "prepare" ? "prepare " : "run ") + own + "/recipe.yaml";
    if (step.phase != nullptr) job.command += " --phase " + step.phase->name;
    if (step.what == "run" && is_chain()) go_on(job, own);
    all_.jobs.push_back({.what = step.what,
                         .script = all_.folder / "slurm" / (step.name + ".sbatch"),
                         .text = batch_script(template_, template_name_, job)});
  }

  static void go_on(BatchJob& job, const std::string& slurm) {
    job.command += " --chain";
    job.next_jobs = slurm + "/" + kNextScript;
  }

  // The jobs that a run's rounds go on with: the same one, of several seeds for each of them, and
  // the one of an array's trials where there is a search.
  void add_later() {
    const auto has_arrays = [](const recipe::Strategy& strategy) {
      return strategy.search && strategy.search->ranks_per_trial == 0;
    };
    const auto& strategies = first().iterate->strategies;
    all_.goes_round = true;
    all_.has_arrays = std::any_of(strategies.begin(), strategies.end(), has_arrays);
    for (const SubmittedRun& run : all_.runs) {
      const fs::path slurm = fs::absolute(run.folder / "slurm").lexically_normal();
      const std::string file = shell_word((slurm / "recipe.yaml").string());
      const auto add_script = [&](const char* name, const std::string& what, const BatchJob& job) {
        all_.later.push_back({.what = what,
                              .script = run.folder / "slurm" / name,
                              .text = batch_script(template_, template_name_, job)});
      };
      if (!all_.seeds.empty()) {
        BatchJob job = job_of({"run", "01-run", nullptr}, slurm, "-%j");
        job.command = "run " + file;
        go_on(job, shell_word(slurm.string()));
        add_script(kRunScript, "run", job);
      }
      if (!all_.has_arrays) continue;
      BatchJob trial = job_of({"trial", "02-trial", nullptr}, slurm, "-%A_%a");
      trial.command = "run " + file + " --trial $SLURM_ARRAY_TASK_ID";
      add_script(kTrialScript, "trial", trial);
    }
  }

  Submission all_;
  const bool one_job_;
  std::string template_, template_name_;
};

}  // namespace

Submission plan_submission(const RecipeOptions& options, const SubmitOptions& how) {
  return Planner(options, how).plan();
}

}  // namespace polyphase
