// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "comm/session.hpp"
#include "recipe/recipe.hpp"
#include "train/checkpointing.hpp"
#include "train/source_phase.hpp"
#include "train/stop_request.hpp"

namespace polyphase {

// How far a phase is, for whoever shows it. Told on every rank, after every step.
struct PhaseProgress {
  std::int64_t step = 0, total_steps = 0;
  std::optional<double> loss;  // none where nothing is trained
  double tokens_per_second = 0;
};

// What is recorded of the run and round that a phase belongs to.
struct RunIdentity {
  std::string name;
  std::int64_t round = 1;
  std::vector<std::string> changes;  // that the round's recipe has against the run's
  std::string version;               // of the program
};

// One phase to run, or to go on with.
struct PhaseJob {
  const recipe::Recipe& recipe;
  std::size_t phase_number = 0;
  std::string data_dir;
  std::filesystem::path folder;        // of this phase; checkpoints and metrics go below
  std::optional<SourcePhase> from;     // what it starts from; none: from scratch
  std::optional<SourcePhase> teacher;  // what it learns from
  RunIdentity run;
  const Communicator& world;
  const RankGrid& grid;
  StopRequest& stop;
  std::function<void(const PhaseProgress&)> progress;
  bool log_samples = false;  // every data rank writes which samples a step has (SampleLog)
};

inline const recipe::Phase& phase_of(const PhaseJob& job) {
  return job.recipe.phases[job.phase_number];
}

struct PhaseOutcome {
  bool finished = false;  // false: stopped on request, saved, and the same job goes on
  std::int64_t step = 0, total_steps = 0;
  std::int64_t num_samples = 0, num_tokens = 0;  // trained on so far, whole job
  double seconds = 0;                            // of training and evaluation so far, over all jobs
  std::map<std::string, double> metrics;         // "valid.loss", "test.accuracy" …, when finished
  HandOver hand_over;
  // When a labelled task is finished: samples that this job trained on, and those of them that did
  // not fit into max_tokens. (Running text is cut as a matter of course.)
  std::int64_t num_seen = 0, num_truncated = 0;
};

// Trains a phase from where its newest complete checkpoint stands (from its start when there is
// none) to its end. Collective over all ranks. A resumed phase gives the same losses to the last
// bit as one that ran straight.
PhaseOutcome run_phase(const PhaseJob& job);

}  // namespace polyphase
