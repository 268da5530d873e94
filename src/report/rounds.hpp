// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "report/run_state.hpp"

namespace polyphase::report {

// Rounds as a table of at most `columns` characters a line, with the target and how it ended; empty
// for a run without rounds.
std::string rounds_text(const RoundsState& rounds, int columns);

// Rounds as a tree, each with its score, its change, and why it was kept or rejected: a piece of
// well-formed HTML, or empty.
std::string rounds_section(const RunState& run);

}  // namespace polyphase::report
