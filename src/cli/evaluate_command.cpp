// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/log.hpp"
#include "cli/commands.hpp"
#include "comm/agreement.hpp"
#include "predict/evaluate_part.hpp"
#include "recipe/goals.hpp"
#include "recipe/load.hpp"
#include "report/table.hpp"

namespace polyphase {
namespace {

// Names of metrics, those that matter most in front.
std::vector<std::string> in_order(const recipe::Phase& phase,
                                  const std::map<std::string, double>& values) {
  std::vector<std::string> names;
  for (const std::string& name : recipe::metrics_of(phase)) {
    if (values.contains(name)) names.push_back(name);
  }
  for (const auto& [name, value] : values) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

void print(const TrainedPhase& phase, const std::string& source, const std::string& format,
           const PartMetrics& metrics) {
  const std::vector<std::string> names = in_order(phase.phase(), metrics.values);
  if (format == "json") {
    nlohmann::ordered_json line = {{"phase", phase.phase().name},
                                   {"checkpoint", phase.checkpoint().filename().string()},
                                   {"data", source},
                                   {"samples", metrics.num_samples}};
    if (phase.num_models() > 1) line["models"] = phase.num_models();
    for (const std::string& name : names) line["metrics"][name] = metrics.values.at(name);
    fmt::print("{}\n", line.dump());
    return;
  }
  report::Table table({{"metric"}, {"value", report::Align::kRight}});
  for (const std::string& name : names)
    table.add_row({name, fmt::format("{:.6g}", metrics.values.at(name))});
  const std::string model = phase.num_models() > 1
                                ? fmt::format("the mean of {} models", phase.num_models())
                                : phase.checkpoint().filename().string();
  fmt::print("{} ({}), {}: {} samples of {}\n{}", phase.phase().name,
             recipe::goal_name(phase.phase()), model, metrics.num_samples, source, table.text());
}

PartMetrics evaluate_file(TrainedPhase& phase, const EvaluateOptions& options,
                          const Communicator& world) {
  const std::string& path = options.input;
  std::unique_ptr<SampleInput> input;
  agree_on(world, [&] {
    const recipe::Phase& what = phase.phase();
    const bool answers = what.task && what.task->kind == recipe::TaskKind::kQuestionAnswering;
    if (!answers || !path.ends_with(".json")) {
      fail<RecipeError>(
          "--input {}: only question answering is evaluated on a file of its own, a SQuAD file "
          "named *.json; the phase {} is {}: add the file to its corpus as the test part",
          path, what.name, recipe::goal_name(what));
    }
    if (world.rank() == 0) input = open_sample_input(path, CorpusKind::kQuestionAnswering, 2);
  });
  PredictionRounds rounds(phase, world, std::move(input), false);
  return evaluate_answers(rounds, options.no_answer_threshold, phase.grid().data);
}

// The part that is named, else the test part or, where there is none, the validation part.
std::string part_of(const EvaluateOptions& options, const TrainedPhase& phase) {
  if (!options.part.empty()) return options.part;
  return phase.corpus().has("test") ? "test" : "valid";
}

}  // namespace

ExitCode evaluate_command(const EvaluateOptions& options, const Communicator& world) {
  TrainedPhase phase({.run = options.run,
                      .phase = options.phase,
                      .tensor = options.tensor,
                      .round = options.round,
                      .more_runs = {options.more_runs.begin(), options.more_runs.end()}},
                     world);
  StopRequest stop(0);
  std::optional<PartMetrics> metrics;
  const std::string source = options.input.empty() ? part_of(options, phase) : options.input;
  if (options.input.empty()) {
    metrics = evaluate_part(phase, source, world, stop);
  } else {
    metrics = evaluate_file(phase, options, world);
  }
  if (!metrics) {
    log_info("stopped ({}) without a result", stop.reason());
    return ExitCode::kInterrupted;
  }
  if (world.rank() == 0) print(phase, source, options.format, *metrics);
  return ExitCode::kDone;
}

}  // namespace polyphase
