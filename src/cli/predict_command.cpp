// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>

#include "base/log.hpp"
#include "cli/commands.hpp"
#include "comm/agreement.hpp"
#include "predict/prediction_text.hpp"
#include "recipe/goals.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

// Standard output or a file, every write of which is checked.
class Output {
 public:
  explicit Output(const std::string& path)
      : name_(path.empty() ? "standard output" : path),
        file_(path.empty() ? stdout : std::fopen(path.c_str(), "wb")) {
    if (file_ == nullptr) {
      fail<SystemError>("{}: cannot be written: {}; give another --output", name_,
                        std::strerror(errno));
    }
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output() {
    if (file_ != nullptr && file_ != stdout) std::fclose(file_);
  }

  void write(const std::string& text) {
    const bool written = std::fwrite(text.data(), 1, text.size(), file_) == text.size();
    if (!written || std::fflush(file_) != 0) {
      fail<SystemError>("{}: cannot be written: {}; is the disk full?", name_,
                        std::strerror(errno));
    }
  }

 private:
  std::string name_;
  std::FILE* file_;
};

void warn_of_long_samples(const TrainedPhase& phase, const InputCounts& counts) {
  if (counts.num_too_long == 0) return;
  const recipe::TaskKind kind = phase.phase().task->kind;
  const char* what = kind == recipe::TaskKind::kTagging ? "and were tagged in several pieces"
                     : kind == recipe::TaskKind::kQuestionAnswering
                         ? "with half of it left to the context, and their questions were cut"
                         : "and were cut";
  if (phase.grid().data.rank() != 0 || phase.grid().tensor.rank() != 0) return;
  log_warning("{} of {} samples did not fit into max_tokens ({}) {}", counts.num_too_long,
              counts.num_samples, phase.sample_settings().max_tokens, what);
}

bool from_terminal(const PredictOptions& options) {
  return options.input.empty() && isatty(fileno(stdin)) != 0;
}

std::unique_ptr<SampleInput> open_input(const PredictOptions& options, const TrainedPhase& phase) {
  const CorpusKind kind = recipe::corpus_kind_for(phase.phase());
  const std::int64_t num_texts = num_texts_of(phase);
  if (!options.input.empty()) return open_sample_input(options.input, kind, num_texts);
  if (from_terminal(options)) log_info("a sample a line, please; Ctrl-D ends");
  return input_of_lines(std::cin, "standard input", kind, num_texts);
}

}  // namespace

ExitCode predict_command(const PredictOptions& options, const Communicator& world) {
  TrainedPhase phase({.run = options.run,
                      .phase = options.phase,
                      .tensor = options.tensor,
                      .round = options.round,
                      .more_runs = {options.more_runs.begin(), options.more_runs.end()}},
                     world);
  std::unique_ptr<SampleInput> input;
  std::unique_ptr<Output> output;
  agree_on(world, [&] {
    require_predictions(phase.phase());
    if (world.rank() != 0) return;
    input = open_input(options, phase);
    output = std::make_unique<Output>(options.output);
  });
  // Other ranks have another standard input.
  const bool typed =
      from_rank_0(world, [&] { return from_terminal(options) ? "yes" : "no"; }) == "yes";
  PredictionRounds rounds(phase, world, std::move(input), typed);
  const PredictionWriter writer(
      phase.phase().task->kind, phase.corpus().phase_data().label_names,
      options.format == "jsonl" ? PredictionFormat::kJsonLines : PredictionFormat::kText,
      options.no_answer_threshold);
  while (const std::optional<PredictedSamples> block = rounds.next()) {
    std::string mine;
    for (std::size_t i = 0; i < block->samples.size(); ++i)
      mine += writer(block->samples[i], block->predictions[i]);
    const std::vector<std::string> texts = phase.grid().data.gather(mine);
    agree_on(world, [&] {
      if (!output) return;
      for (const std::string& text : texts) output->write(text);
    });
  }
  warn_of_long_samples(phase, rounds.counts());
  return ExitCode::kDone;
}

}  // namespace polyphase
