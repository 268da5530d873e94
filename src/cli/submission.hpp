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

struct Script {
  std::filesystem::path path;  // to be written
  std::string text;
};

struct PlannedJob {
  std::string what;  // as in SubmittedJob
  std::filesystem::path script;
  std::vector<std::string> arguments;  // of the script
};

struct SubmittedRun {
  std::filesystem::path folder;
  recipe::Recipe recipe;  // with its own seed and run_dir
};

// Jobs in order, each after the one before it; of several seeds arrays.
struct JobChain {
  std::vector<std::size_t> runs;  // that it is of, by their places in the submission
  std::vector<PlannedJob> jobs;
  std::string after;  // number of a job in the queue that the first one waits for
};

// What `submit` is going to do. Making it changes nothing.
struct Submission {
  std::string cluster;              // that this is; "": not known
  std::filesystem::path folder;     // of the run, or of all seeds' runs
  std::vector<std::int64_t> seeds;  // empty: one run
  std::vector<SubmittedRun> runs;   // one, or one a seed
  std::vector<JobChain> chains;     // one; of seeds one for all that stand at the same place
  std::vector<Script> scripts;      // of these jobs, and of those that they submit
  bool goes_round = false;          // the run's own jobs submit those of later rounds
  bool has_arrays = false;          // and arrays of trials among them
  std::string nothing_to_do;        // why there are no jobs
};

// Reads and checks the recipe as the jobs will, and looks at what is done and what is queued.
// RecipeError with all faults, and where jobs of the run are in the queue that do not fit what is
// left to do.
Submission plan_submission(const RecipeOptions& options, const SubmitOptions& how);

}  // namespace polyphase
