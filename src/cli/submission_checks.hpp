// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "cli/submission.hpp"

namespace polyphase {

// Checks the recipes as their jobs will, each phase for the ranks of its own job, or all for those
// of one job. RecipeError with all faults.
void check_submitted(const std::vector<SubmittedRun>& runs, bool one_job);

}  // namespace polyphase
