// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "comm/session.hpp"
#include "predict/generate.hpp"

namespace polyphase {

// Options that name a recipe: its file and the --set overrides.
struct RecipeOptions {
  std::string file;
  std::vector<std::string> overrides;  // key.path=value
};

// Options that name the model of a phase in a run folder.
struct ModelOptions {
  std::string run;          // folder
  std::string phase;        // empty: of a run with rounds the target's, else the last one done
  std::int64_t tensor = 0;  // ranks that share one copy of the model; 0: the recipe's
  std::int64_t round = 0;   // of a run with rounds; 0: the best one
};
// Of those that may be several, whose mean counts.
struct ModelsOptions : ModelOptions {
  std::vector<std::string> more_runs;  // folders
};
struct PredictOptions : ModelsOptions {
  std::string input, output;    // files; empty: standard input and output
  std::string format = "text";  // or jsonl
  double no_answer_threshold = 0;
};
struct EvaluateOptions : ModelsOptions {
  std::string part;              // of the phase's corpus; empty: test, else valid
  std::string input;             // a SQuAD file instead
  std::string format = "table";  // or json
  double no_answer_threshold = 0;
};
struct GenerateOptions : ModelOptions {
  std::optional<std::string> prompt;  // else the lines of `input`
  std::string input;                  // a file; empty: standard input
  std::string references;             // a file that the texts are scored against; empty: none
  GenerationSettings settings;
};
struct ExportOptions : ModelOptions {
  std::string output;  // folder
};
struct ReportOptions {
  std::vector<std::string> runs;
  std::string output;  // file of the page; empty: report.html, of several comparison.html, in the
                       // first run's folder
};

struct SubmitOptions {
  std::vector<std::int64_t> seeds;  // empty: one run, with the recipe's
  bool dry_run = false;
  bool one_job = false;  // for all phases of all rounds
};

// The program's commands; each returns the exit code. Those that take the world are collective over
// all ranks.

// Turns the recipe's corpora into a tokenizer and shards in the run folder.
ExitCode prepare_command(const RecipeOptions& options, const Communicator& world);

struct RunOptions {
  std::string phase;         // only this one; empty: every phase that is not done
  bool log_samples = false;  // which samples each step had
  // Of a recipe with rounds, in the jobs that `submit` makes, 0 for none: the round of which the
  // phase is trained, where the last phase's job judges it and leaves later rounds to jobs of their
  // own; or the trial, beside others and not judged.
  std::int64_t round = 0, trial = 0;
};
// Trains every phase that is not done, or the one that is named.
ExitCode run_command(const RecipeOptions& recipe, const RunOptions& options,
                     const Communicator& world);
// Writes the recipe's jobs into the run folder and submits them to Slurm, once for each seed, or
// once with the recipe's; a dry run prints them.
ExitCode submit_command(const RecipeOptions& options, const SubmitOptions& how);
struct PlanOptions {
  std::int64_t num_ranks = 1;
  std::int64_t tensor = 0;  // 0: the recipe's
  std::string machine;      // file of rates; empty: memory only
};
// Prints parameters and memory a rank of every phase for a number of ranks, and, of a machine,
// time, traffic, storage and the best layouts, without running anything.
ExitCode plan_command(const RecipeOptions& options, const PlanOptions& how);

// Prints text from a trained language model.
ExitCode generate_command(const GenerateOptions& options, const Communicator& world);
// Prints what the model of a phase says of every sample of the input, in its order.
ExitCode predict_command(const PredictOptions& options, const Communicator& world);
// Prints metrics of the model of a phase.
ExitCode evaluate_command(const EvaluateOptions& options, const Communicator& world);

// Writes a phase's model as a folder of the transformers library.
ExitCode export_command(const ExportOptions& options);

ExitCode status_command(const std::string& run_folder);
// One run's page; of several runs a table, and a page that puts them side by side.
ExitCode report_command(const ReportOptions& options);
ExitCode inspect_command(const std::string& path);
ExitCode verify_command(const std::string& folder);

}  // namespace polyphase
