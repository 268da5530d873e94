// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "report/sections.hpp"

namespace polyphase::report {

// Several runs side by side: one recipe under several seeds, or recipes that differ in a few keys.
// Phases go by their names; of a run with rounds those of its best round count. A phase is compared
// by the metric that its task is judged by, of the test part, or of the validation part where more
// runs have that.
struct NamedRun {
  std::string label;  // what it goes by here
  RunRecord record;
  std::string recipe;  // the resolved one, YAML; empty where there is none
};

// DataError when a run's status.json is not readable.
std::vector<NamedRun> read_runs(const std::vector<std::filesystem::path>& run_folders);

// A line a phase: in how many runs its score is a finite number, their median, the lowest and the
// highest, and as far as `columns` characters reach the value in each run.
std::string comparison_text(const std::vector<NamedRun>& runs, int columns);

// One page that needs no other file or network: that table, the keys in which the runs' resolved
// recipes differ, and for each phase the training and validation losses of all runs.
std::string comparison_html(const std::vector<NamedRun>& runs);

}  // namespace polyphase::report
