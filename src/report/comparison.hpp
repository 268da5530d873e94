// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace polyphase::report {

// Several runs side by side: one recipe under several seeds, or recipes that differ in a few keys.
// Phases go by their names; of a run with rounds those of its best round count. A phase is compared
// by the metric that its task is judged by, of the test part, or of the validation part where more
// runs have that.

// A line a phase: in how many runs its score is a finite number, their median, the lowest and the
// highest, and as far as `columns` characters reach the value in each run. DataError when a run's
// status.json is not readable.
std::string comparison_text(const std::vector<std::filesystem::path>& run_folders, int columns);

// One page that needs no other file or network: that table, the keys in which the runs' resolved
// recipes differ, and for each phase the training and validation losses of all runs.
std::string comparison_html(const std::vector<std::filesystem::path>& run_folders);

// Writes the page; SystemError when it cannot, and an older page then stays as it was.
void write_comparison(const std::vector<std::filesystem::path>& run_folders,
                      const std::filesystem::path& file);

}  // namespace polyphase::report
