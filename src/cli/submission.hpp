// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "control/batch_script.hpp"
#include "control/slurm_jobs.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

struct PlannedJob {
  std::string what;              // as in SubmittedJob
  std::filesystem::path script;  // to be written
  std::string text;
};

struct SubmittedRun {
  std::filesystem::path folder;
  recipe::Recipe recipe;  // with its own seed and run_dir
};

// What `submit` is going to do. Making it changes nothing.
struct Submission {
  std::filesystem::path folder;     // of the run, or of all seeds' runs
  std::vector<std::int64_t> seeds;  // empty: one run
  std::vector<SubmittedRun> runs;   // one, or one a seed
  std::vector<PlannedJob> jobs;     // in order, each after the one before it
  bool goes_round = false;          // the run's own jobs submit those of later rounds
  bool has_arrays = false;          // and arrays of trials among them
  std::vector<PlannedJob> later;    // scripts that these need, beside those of `jobs`
  std::string after;                // number of a job in the queue that the first one waits for
  std::string nothing_to_do;        // why there are no jobs
};

// Reads and checks the recipe as the jobs will, and looks at what is done and what is queued.
// RecipeError with all faults, and where jobs of the run are in the queue that do not fit what is
// left to do.
Submission plan_submission(const RecipeOptions& options, const SubmitOptions& how);

}  // namespace polyphase
