// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "comm/communicator.hpp"
#include "control/journal.hpp"
#include "recipe/recipe.hpp"
#include "train/stop_request.hpp"

namespace polyphase {

// The verdict on the journal's last round, whose phases are done, or one of which has diverged: a
// score that is no number. Collective; all ranks get the same. Empty when a stop was asked for.
std::optional<Verdict> judge_round(const recipe::Recipe& recipe, const std::string& run_dir,
                                   const Journal& journal, bool diverged, const Communicator& world,
                                   StopRequest& stop);

}  // namespace polyphase
