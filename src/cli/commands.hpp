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

// The program's commands; each returns the exit code. Those that take the world are collective over
// all ranks.

// Turns the recipe's corpora into a tokenizer and shards in the run folder.
ExitCode prepare_command(const RecipeOptions& options, const Communicator& world);
// Trains every phase that is not done, or the one that is named.
ExitCode run_command(const RecipeOptions& options, const std::string& phase,
                     const Communicator& world);
// Prints parameters and memory a rank of every phase for a number of ranks, without running
// anything.
ExitCode plan_command(const RecipeOptions& options, std::int64_t num_ranks, std::int64_t tensor);

// Text from a trained language model.
struct GenerateOptions {
  std::string run, phase;             // phase: empty: the last one that is done
  std::int64_t tensor = 0;            // ranks that share one copy of the model; 0: the recipe's
  std::optional<std::string> prompt;  // else the lines of `input`
  std::string input;                  // a file; empty: standard input
  GenerationSettings settings;
};
ExitCode generate_command(const GenerateOptions& options, const Communicator& world);

ExitCode status_command(const std::string& run_folder);
ExitCode report_command(const std::string& run_folder);
ExitCode inspect_command(const std::string& path);
ExitCode verify_command(const std::string& folder);

}  // namespace polyphase
