// SPDX-License-Identifier: Apache-2.0
#include "cli/submission_checks.hpp"

#include <functional>
#include <set>
#include <sstream>

#include "cli/other_runs.hpp"
#include "cli/shared_recipe.hpp"
#include "control/run_folder.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

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

// Every phase for the ranks of its own job.
void check_layouts(const recipe::Recipe& recipe, bool one_job, AllFaults& faults) {
  if (one_job) {
    const std::int64_t ranks = ranks_of(recipe::slurm_job_of_all(recipe));
    faults.look([&] { recipe::check_layout(recipe, ranks); });
    faults.look([&] { check_other_runs(recipe, ranks); });
    faults.look([&] { recipe::check_strategy_layouts(recipe, ranks); });
    return;
  }
  for (const recipe::Phase& phase : recipe.phases) {
    recipe::Recipe alone = recipe;
    alone.iterate.reset();
    alone.phases = {phase};
    const std::int64_t ranks = ranks_of(recipe::slurm_job_of(recipe, &phase));
    faults.look([&] { recipe::check_layout(alone, ranks); });
    faults.look([&] { check_other_runs(alone, ranks); });
    faults.look([&] { recipe::check_strategy_layouts(recipe, ranks, phase.name); });
  }
}

}  // namespace

void check_submitted(const std::vector<SubmittedRun>& runs, bool one_job) {
  AllFaults faults;
  for (const SubmittedRun& run : runs) {
    const recipe::Recipe& recipe = run.recipe;
    check_layouts(recipe, one_job, faults);
    faults.look([&] { check_given_files(recipe); });
    faults.look([&] { check_all_patterns(recipe); });
    faults.look([&] { refuse_changed_recipe(run_folder_of(recipe), recipe); });
  }
  faults.throw_if_any();
}

}  // namespace polyphase
