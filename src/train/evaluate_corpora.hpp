// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "train/evaluate.hpp"
#include "train/phase_data.hpp"

namespace polyphase {

// What one part of one corpus gave.
struct CorpusTallies {
  std::string corpus;
  std::vector<Tally> tallies;  // by objective
  std::int64_t num_samples = 0;
};

// Tallies of every part, as evaluation_tallies() makes them; `settings` hold for each. Collective.
// Empty when a stop was asked for meanwhile.
std::optional<std::vector<CorpusTallies>> tallies_of_corpora(const BatchTallies& evaluate,
                                                             const std::vector<CorpusPart>& parts,
                                                             const EvaluationSettings& settings,
                                                             const Communicator& world,
                                                             const RankGrid& grid,
                                                             StopRequest& stop);

// Metrics over the samples of all corpora together, a sample as heavy as any other; of a phase on
// several (of which perhaps one alone has the part) also each one's own, with its name in front:
// "loss", "topics.loss".
std::map<std::string, double> metrics_of_corpora(const PhaseModel& model,
                                                 const std::vector<CorpusTallies>& corpora,
                                                 const recipe::Phase& phase);

}  // namespace polyphase
