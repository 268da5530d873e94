// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "cli/commands.hpp"

namespace polyphase {

// What the command line fills: the options of all commands, and the one that was given.
struct CommandLine {
  RecipeOptions recipe;
  std::string path;  // of a run, a checkpoint or a corpus
  RunOptions run;
  PlanOptions plan;
  SubmitOptions submit;
  ReportOptions report;
  EvaluateOptions evaluate;
  PredictOptions predict;
  GenerateOptions generate;
  ExportOptions exported;
  std::function<ExitCode()> command;  // to be called on all ranks
};

// Tells `app` of the commands that take a recipe or a folder, and of those that use a trained
// model. `line` and `world` must live as long.
void describe_commands(CLI::App& app, CommandLine& line, const Communicator& world);
void describe_model_commands(CLI::App& app, CommandLine& line, const Communicator& world);

// A command for one rank, should it be started on many: they would all say the same.
ExitCode on_rank_0(const Communicator& world, const std::function<ExitCode()>& command);

}  // namespace polyphase
