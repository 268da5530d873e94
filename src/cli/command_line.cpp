// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.hpp"

#include "comm/agreement.hpp"

namespace polyphase {

ExitCode on_rank_0(const Communicator& world, const std::function<ExitCode()>& command) {
  if (world.size() == 1) return command();
  ExitCode code = ExitCode::kDone;
  agree_on(world, [&] {
    if (world.rank() == 0) code = command();
  });
  return code;
}

void describe_commands(CLI::App& app, CommandLine& line, const Communicator& world) {
  app.require_subcommand(1);
  const auto with_recipe = [&](const char* name, const char* what) {
    CLI::App* sub = app.add_subcommand(name, what);
    sub->add_option("recipe", line.recipe.file, "Recipe file (YAML)")->required();
    sub->add_option("--set", line.recipe.overrides,
                    "key.path=value: replaces a value of the recipe")
        ->expected(1)
        ->take_all();
    return sub;
  };
  const auto with_path = [&](const char* name, const char* what, const char* which, auto run) {
    CLI::App* sub = app.add_subcommand(name, what);
    sub->add_option("path", line.path, which)->required();
    sub->callback([&line, &world, run] {
      line.command = [&line, &world, run] {
        return on_rank_0(world, [&] { return run(line.path); });
      };
    });
  };
  with_recipe("prepare", "Text to tokenizer and shards; only what changed")->callback([&] {
    line.command = [&] { return prepare_command(line.recipe, world); };
  });
  CLI::App* run = with_recipe("run", "Train, or go on with a stopped run");
  run->add_option("--phase", line.run.phase, "Only this phase");
  run->add_flag(
      "--log-samples", line.run.log_samples,
      "Write which samples every step trained on: samples-NNNN.jsonl, a file a data rank");
  CLI::Option* round =
      run->add_option("--round", line.run.round,
                      "Of this round; its last phase's job judges it, and leaves later rounds to "
                      "jobs of their own: in the scripts of submit")
          ->check(CLI::PositiveNumber)
          ->needs("--phase");
  run->add_option("--trial", line.run.trial,
                  "Of this round, beside other rounds' jobs, and not judged: likewise")
      ->check(CLI::PositiveNumber)
      ->excludes(round);
  run->callback([&] { line.command = [&] { return run_command(line.recipe, line.run, world); }; });
  CLI::App* jobs =
      with_recipe("submit", "Submit a run to Slurm, as a chain of jobs; again: what is missing");
  jobs->add_flag("--dry-run", line.submit.dry_run, "Print scripts and commands, submit nothing");
  jobs->add_flag("--one-job", line.submit.one_job,
                 "All phases and rounds in one job, not a job for each phase");
  jobs->add_option("--seeds", line.submit.seeds, "Several runs, such as 1,2,3: an array of jobs")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber);
  jobs->callback([&] {
    line.command = [&] {
      if (world.size() == 1) return submit_command(line.recipe, line.submit);
      throw AgreedError("submit is no command for many ranks; the jobs start their own",
                        ExitCode::kUsage);
    };
  });
  const CLI::Range at_least_one(1, 1 << 20);
  CLI::App* plan = with_recipe("plan", "Memory and time of a rank, before anything runs");
  plan->add_option("--ranks", line.plan.num_ranks, "Ranks of the whole job")
      ->capture_default_str()
      ->check(at_least_one);
  plan->add_option("--tensor", line.plan.tensor, "Tensor-parallel ranks; default: the recipe's")
      ->check(at_least_one);
  plan->add_option("--machine", line.plan.machine,
                   "Machine file: time, traffic and the best layouts, too");
  plan->callback([&] {
    line.command = [&] {
      return on_rank_0(world, [&] { return plan_command(line.recipe, line.plan); });
    };
  });
  with_path("status", "Where a run stands", "Run folder", status_command);
  CLI::App* page = app.add_subcommand(
      "report",
      "Write a run's report as one HTML file; of several runs, a page and a table side by side");
  page->add_option("runs", line.report.runs, "Run folders")->required();
  page->add_option("--output", line.report.output,
                   "File; default: report.html, or comparison.html, in the first run's folder");
  page->callback([&] {
    line.command = [&] { return on_rank_0(world, [&] { return report_command(line.report); }); };
  });
  with_path("inspect", "What is in a checkpoint or a prepared corpus", "Folder", inspect_command);
  with_path("verify", "Whether every digest of a checkpoint or a prepared corpus holds", "Folder",
            verify_command);
}

}  // namespace polyphase
