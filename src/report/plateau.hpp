// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "report/history.hpp"
#include "report/run_state.hpp"

namespace polyphase::report {

// A masked language model learns the tokens' frequencies first, and may stay at the loss of
// guessing by them for thousands of steps. What it has learnt until then is worth nothing to a
// later phase.
struct Plateau {
  double nats = 0;                          // entropy of the training tokens by frequency
  std::optional<std::int64_t> passed_step;  // where the smoothed training loss lies clearly below
};

// Empty for a phase without the objective mlm, and for one that was begun before this was noted.
std::optional<Plateau> plateau_of(const History& history);

// "passed the unigram plateau (6.02 nats) at step 740", or that it has not, and what helps.
std::string plateau_text(const Plateau& plateau);

// A line for each phase of a run that has begun and has a plateau.
std::string plateau_notes(const RunState& run, const std::filesystem::path& run_folder);

}  // namespace polyphase::report
