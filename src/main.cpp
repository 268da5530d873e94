// SPDX-License-Identifier: Apache-2.0
#include <sched.h>

#include <CLI/CLI.hpp>
#include <Kokkos_Core.hpp>
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <optional>
#include <thread>

#include "base/log.hpp"
#include "cli/commands.hpp"
#include "comm/agreement.hpp"
#include "comm/job.hpp"
#include "comm/session.hpp"
#include "control/run_folder.hpp"
#include "kernels/devices.hpp"
#include "train/stop_request.hpp"

namespace polyphase {
namespace {

// A rank that is not told its number of threads shares the node's processors with the other ranks
// of its node.
void choose_threads(const MpiSession& session) {
  // Whoever starts the ranks binds them. Unset, Kokkos would give every user its advice on this.
  setenv("OMP_PROC_BIND", "false", 0);
  if (std::getenv("OMP_NUM_THREADS") != nullptr || std::getenv("KOKKOS_NUM_THREADS") != nullptr)
    return;
  const int processors = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  cpu_set_t allowed;
  const bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
  const int own = known ? CPU_COUNT(&allowed) : processors;
  // A rank that its launcher has bound to some processors has those for itself.
  const int threads =
      own < processors ? own : std::max(1, processors / session.num_ranks_of_node());
  setenv("KOKKOS_NUM_THREADS", fmt::format("{}", threads).c_str(), 1);
}

bool names(int argc, char** argv, std::initializer_list<const char*> commands) {
  return argc > 1 && std::any_of(commands.begin(), commands.end(), [&](const char* command) {
           return std::string(argv[1]) == command;
         });
}

// Commands that ask files and Slurm only go without MPI: it need not work where people log in, and
// it would leave variables in the environment that submitted jobs inherit.
bool goes_without_mpi(int argc, char** argv) {
  for (const char* launcher : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (std::getenv(launcher) != nullptr) return false;
  }
  return names(argc, argv, {"status", "submit"});
}

// A command for one rank, should it be started on many: they would all say the same.
ExitCode on_rank_0(const Communicator& world, const std::function<ExitCode()>& command) {
  if (world.size() == 1) return command();
  ExitCode code = ExitCode::kDone;
  agree_on(world, [&] {
    if (world.rank() == 0) code = command();
  });
  return code;
}

// Which trained model a subcommand uses.
void add_phase(CLI::App& sub, ModelOptions& model) {
  sub.add_option("run", model.run, "Run folder")->required();
  sub.add_option("--phase", model.phase, "Phase whose model is used; default: the last one done");
  sub.add_option("--round", model.round, "Of a run with rounds; default: the best one")
      ->check(CLI::PositiveNumber);
}

// A subcommand that computes with it, on any ranks.
CLI::App* add_use(CLI::App& app, const char* name, const char* what, ModelOptions& model) {
  CLI::App* sub = app.add_subcommand(name, what);
  add_phase(*sub, model);
  sub->add_option("--tensor", model.tensor, "Tensor-parallel ranks; default: the recipe's")
      ->check(CLI::PositiveNumber);
  return sub;
}

CLI::Option* add_threshold(CLI::App& sub, double& threshold) {
  return sub
      .add_option(
          "--no-answer-threshold", threshold,
          "Question answering: no answer is given where its score exceeds the best answer's "
          "by more than this (a difference of logits)")
      ->capture_default_str();
}

void describe_evaluate(CLI::App& app, EvaluateOptions& options, std::function<ExitCode()>& command,
                       const Communicator& world) {
  CLI::App* sub =
      add_use(app, "evaluate",
              "Metrics of a trained phase on a part of its corpus. Of causal language models also "
              "bits a byte and word perplexity; words are what stands between white space, and of "
              "raw text its line ends too",
              options);
  CLI::Option* part = sub->add_option("--part", options.part, "Default: test, else valid")
                          ->check(CLI::IsMember({"train", "valid", "test"}));
  CLI::Option* input =
      sub->add_option("--input", options.input,
                      "Question answering: a SQuAD file (*.json) instead; exact match and F1 in "
                      "percent, as the official script has them")
          ->excludes(part);
  add_threshold(*sub, options.no_answer_threshold)->needs(input);
  sub->add_option("--format", options.format, "table or json")
      ->capture_default_str()
      ->check(CLI::IsMember({"table", "json"}));
  sub->callback([&] { command = [&] { return evaluate_command(options, world); }; });
}

void describe_predict(CLI::App& app, PredictOptions& options, std::function<ExitCode()>& command,
                      const Communicator& world) {
  CLI::App* sub =
      add_use(app, "predict",
              "What a trained phase says of texts, a sample a line: a text; two texts with a tab "
              "between; the words of a sentence; question, tab, context",
              options);
  sub->add_option("--input", options.input,
                  "File of samples (question answering: or a SQuAD file, *.json); default: "
                  "standard input");
  sub->add_option("--output", options.output, "Default: standard output");
  add_threshold(*sub, options.no_answer_threshold);
  sub->add_option("--format", options.format, "text or jsonl")
      ->capture_default_str()
      ->check(CLI::IsMember({"text", "jsonl"}));
  sub->callback([&] { command = [&] { return predict_command(options, world); }; });
}

void describe_generate(CLI::App& app, GenerateOptions& options, std::function<ExitCode()>& command,
                       const Communicator& world) {
  CLI::App* sub = add_use(app, "generate", "Text from a trained language model", options);
  sub->add_option("--prompt", options.prompt, "Text to go on from; else one a line is read");
  sub->add_option("--input", options.input, "File with one text a line; default: standard input");
  sub->add_option("--references", options.references,
                  "File with the right text of every line: BLEU and chrF go to standard error");
  GenerationSettings& settings = options.settings;
  sub->add_option("--max-new-tokens", settings.max_new_tokens, "Longest text, in tokens")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--temperature", settings.temperature, "Of sampling; 0: the likeliest token")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  sub->add_option("--top-k", settings.top_k, "Sample among so many tokens; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  sub->add_option("--top-p", settings.top_p, "Sample among the likeliest of this probability")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  sub->add_option("--seed", settings.seed, "Of sampling")->capture_default_str();
  sub->add_option("--beams", settings.beams, "Beam search, when more than 1")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  sub->add_option("--length-penalty", settings.length_penalty,
                  "Power of its length that a beam's log-probability is divided by")
      ->capture_default_str();
  sub->callback([&] { command = [&] { return generate_command(options, world); }; });
}

// Every command fills `command`, which then runs on all ranks.
void describe_commands(CLI::App& app, RecipeOptions& recipe, std::string& argument,
                       RunOptions& run_options, PlanOptions& plan_options, SubmitOptions& submit,
                       ReportOptions& report, const Communicator& world,
                       std::function<ExitCode()>& command) {
  app.require_subcommand(1);
  const auto with_recipe = [&](const char* name, const char* what) {
    CLI::App* sub = app.add_subcommand(name, what);
    sub->add_option("recipe", recipe.file, "Recipe file (YAML)")->required();
    sub->add_option("--set", recipe.overrides, "key.path=value: replaces a value of the recipe")
        ->expected(1)
        ->take_all();
    return sub;
  };
  const auto with_path = [&](const char* name, const char* what, const char* which, auto run) {
    CLI::App* sub = app.add_subcommand(name, what);
    sub->add_option("path", argument, which)->required();
    sub->callback([&command, &argument, &world, run] {
      command = [&argument, &world, run] {
        return on_rank_0(world, [&] { return run(argument); });
      };
    });
  };
  with_recipe("prepare", "Text to tokenizer and shards; only what changed")->callback([&] {
    command = [&] { return prepare_command(recipe, world); };
  });
  CLI::App* run = with_recipe("run", "Train, or go on with a stopped run");
  run->add_option("--phase", run_options.phase, "Only this phase");
  run->add_flag(
      "--log-samples", run_options.log_samples,
      "Write which samples every step trained on: samples-NNNN.jsonl, a file a data rank");
  CLI::Option* trial =
      run->add_option("--trial", run_options.trial,
                      "Only this round, a trial of a search, and not judged: an array's job")
          ->check(CLI::PositiveNumber)
          ->excludes("--phase");
  run->add_flag("--chain", run_options.chain,
                "Leave later rounds to jobs of their own: in the scripts of submit")
      ->excludes(trial)
      ->excludes("--phase");
  run->callback([&] { command = [&] { return run_command(recipe, run_options, world); }; });
  CLI::App* jobs =
      with_recipe("submit", "Submit a run to Slurm, as a chain of jobs; again: what is missing");
  jobs->add_flag("--dry-run", submit.dry_run, "Print scripts and commands, submit nothing");
  jobs->add_flag("--one-job", submit.one_job,
                 "All rounds of a recipe that iterates in one job, not a job for each");
  jobs->add_option("--seeds", submit.seeds, "Several runs, such as 1,2,3: an array of jobs")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber);
  jobs->callback([&] {
    command = [&] {
      if (world.size() == 1) return submit_command(recipe, submit);
      throw AgreedError("submit is no command for many ranks; the jobs start their own",
                        ExitCode::kUsage);
    };
  });
  const CLI::Range at_least_one(1, 1 << 20);
  CLI::App* plan = with_recipe("plan", "Memory and time of a rank, before anything runs");
  plan->add_option("--ranks", plan_options.num_ranks, "Ranks of the whole job")
      ->capture_default_str()
      ->check(at_least_one);
  plan->add_option("--tensor", plan_options.tensor, "Tensor-parallel ranks; default: the recipe's")
      ->check(at_least_one);
  plan->add_option("--machine", plan_options.machine,
                   "Machine file: time, traffic and the best layouts, too");
  plan->callback([&] {
    command = [&] { return on_rank_0(world, [&] { return plan_command(recipe, plan_options); }); };
  });
  with_path("status", "Where a run stands", "Run folder", status_command);
  CLI::App* page = app.add_subcommand(
      "report",
      "Write a run's report as one HTML file; of several runs, a page and a table side by side");
  page->add_option("runs", report.runs, "Run folders")->required();
  page->add_option("--output", report.output,
                   "File; default: report.html, or comparison.html, in the first run's folder");
  page->callback(
      [&] { command = [&] { return on_rank_0(world, [&] { return report_command(report); }); }; });
  with_path("inspect", "What is in a checkpoint or a prepared corpus", "Folder", inspect_command);
  with_path("verify", "Whether every digest of a checkpoint or a prepared corpus holds", "Folder",
            verify_command);
}

void describe_export(CLI::App& app, ExportOptions& options, std::function<ExitCode()>& command,
                     const Communicator& world) {
  CLI::App* sub = app.add_subcommand(
      "export", "A trained phase's model as a folder that the transformers library opens");
  add_phase(*sub, options);
  sub->add_option("--output", options.output, "Folder; made, or empty")->required();
  sub->callback(
      [&] { command = [&] { return on_rank_0(world, [&] { return export_command(options); }); }; });
}

// What is wrong with the command's name, in words; empty when it is one of ours (or an option).
std::string fault_of_command(CLI::App& app, int argc, char** argv) {
  const std::string given = argc > 1 ? argv[1] : "";
  if (given.starts_with("-")) return "";
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  if (std::find(names.begin(), names.end(), given) != names.end()) return "";
  const std::string known = fmt::format("commands: {}", fmt::join(names, ", "));
  if (given.empty()) return "no command given; " + known;
  const std::string meant = nearest(given, names);
  return fmt::format("unknown command \"{}\"; {}{}", given,
                     meant.empty() ? "" : fmt::format("did you mean \"{}\"? ", meant), known);
}

int parse_and_run(int argc, char** argv, const Communicator& world, const MpiSession* session) {
  CLI::App app("Polyphase trains transformer language models in phases.");
  app.set_version_flag("--version", program_version());
  RecipeOptions recipe;
  std::string argument;
  RunOptions run_options;
  PlanOptions plan_options = {.num_ranks = world.size()};
  SubmitOptions submit;
  ReportOptions report;
  EvaluateOptions evaluate;
  PredictOptions predict;
  GenerateOptions generate;
  ExportOptions export_options;
  std::function<ExitCode()> command;
  describe_commands(app, recipe, argument, run_options, plan_options, submit, report, world,
                    command);
  describe_evaluate(app, evaluate, command, world);
  describe_predict(app, predict, command, world);
  describe_generate(app, generate, command, world);
  describe_export(app, export_options, command, world);
  if (const std::string fault = fault_of_command(app, argc, argv); !fault.empty()) {
    throw AgreedError(fault + "; --help tells more", ExitCode::kUsage);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = world.rank() == 0 ? app.exit(error) : error.get_exit_code();
    return code == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  if (session == nullptr) return static_cast<int>(command());
  choose_threads(*session);
  choose_device();
  int kokkos_argc = 1;  // the command line is ours alone
  const Kokkos::ScopeGuard kokkos(kokkos_argc, argv);
  return static_cast<int>(command());
}

}  // namespace
}  // namespace polyphase

int main(int argc, char** argv) {
  using namespace polyphase;
  if (names(argc, argv, {"run", "prepare"})) remember_stop_signals();
  std::optional<MpiSession> session;
  if (!goes_without_mpi(argc, argv)) session.emplace(&argc, &argv);
  const Communicator alone = planning_communicator(1);
  const Communicator& world = session ? session->world() : alone;
  set_log_rank(world.rank());
  if (world.rank() == 0) tell_outcome("running");
  int code = 0;
  try {
    code = parse_and_run(argc, argv, world, session ? &*session : nullptr);
  } catch (const AgreedError& error) {  // every rank threw it
    if (world.rank() == 0) fmt::print(stderr, "{}\n", error.what());
    code = static_cast<int>(error.code);
  } catch (
      const std::exception& error) {  // perhaps this rank alone: the others must not wait for it
    fmt::print(stderr, "{}{}\n", world.size() > 1 ? fmt::format("[rank {}] ", world.rank()) : "",
               error.what());
    code = static_cast<int>(exit_code_of(error));
    if (world.size() > 1) session->abort(exit_code_of(error));
  }
  if (world.rank() == 0) tell_outcome(fmt::format("{}", code));
  return code;
}
