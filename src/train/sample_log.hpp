// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "corpus/training_samples.hpp"
#include "io/metrics.hpp"
#include "train/phase.hpp"

namespace polyphase {

// Which samples every step trained on: samples-0000.jsonl and so on in the phase's folder, a file a
// data rank, a line a step, "CORPUS:NUMBER" a sample. On whatever layouts a phase was trained, all
// lines of a step together name each of its samples once. Written where the job says log_samples;
// what a job before has written is taken back in any case.
class SampleLog {
 public:
  // Takes back what was written of steps behind `step`, by however many ranks. Collective.
  SampleLog(const PhaseJob& job, std::int64_t step);

  void step(std::int64_t step, const std::vector<TrainingSamples::Choice>& samples);

 private:
  std::vector<std::string> corpora_;
  std::optional<MetricsWriter> writer_;  // on the first stage's first tensor rank of each data rank
};

}  // namespace polyphase
