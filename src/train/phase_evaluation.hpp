// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "corpus/batch_stream.hpp"
#include "train/phase_data.hpp"
#include "train/phase_log.hpp"
#include "train/phase_model.hpp"

namespace polyphase {

// Metrics of one part: "loss", "accuracy", "topics.loss" …
using PartMetrics = std::map<std::string, double>;

// When a running phase evaluates, and what it finds. All it is made of must outlive it.
class PhaseEvaluation {
 public:
  PhaseEvaluation(const PhaseJob& job, PhaseCorpus& corpus, PhaseModel& model);

  // Whether the validation part is to be looked at after so many steps of total_steps.
  bool falls_due(std::int64_t step, std::int64_t total_steps, const BatchStream& stream) const;

  // Evaluates "valid" or "test" as of `step`, logs it, and counts its time in the state; what was
  // found of a part at that step before is given again. Empty when a stop was asked for.
  // Collective.
  std::optional<PartMetrics> metrics_of(const std::string& part, std::int64_t step,
                                        PhaseState& state, PhaseLog& log);

 private:
  const PhaseJob& job_;
  const recipe::Phase& phase_;
  PhaseCorpus& corpus_;
  PhaseModel& model_;
  struct Known {
    std::int64_t step;
    PartMetrics metrics;
  };
  std::map<std::string, Known> newest_;  // by part
};

}  // namespace polyphase
