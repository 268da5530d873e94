// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "comm/session.hpp"
#include "control/journal.hpp"
#include "train/stop_request.hpp"

namespace polyphase {

// How a round's target phase does on the whole validation part, and how that compares with its
// parent's.
struct RoundScore {
  double score = 0;
  std::optional<double> parent_score;  // empty: there is no parent
  std::optional<PairedTest> test;      // empty: there is no parent, or its samples are others
};

// What is scored: folders of the target's phase, below the run's.
struct ScoredPhases {
  std::string run, folder, parent_folder;  // the last may be empty
  std::string metric;                      // as in a recipe: valid.accuracy
  bool lower_is_better = false;
  std::int64_t tensor = 1;  // ranks that share one copy of the model
};

// Collective; all ranks get the same. Every sample's part is kept in the phase's folder
// (valid-samples.jsonl) and measured only once. Empty when a stop was asked for.
std::optional<RoundScore> score_round(const ScoredPhases& phases, const Communicator& world,
                                      StopRequest& stop);

}  // namespace polyphase
