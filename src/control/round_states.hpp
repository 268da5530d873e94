// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/journal.hpp"
#include "recipe/recipe.hpp"
#include "report/run_state.hpp"

namespace polyphase {

// The journal as status.json and the report show it.
report::RoundsState round_states(const recipe::Recipe& recipe, const Journal& journal);

// That as it stands in status.json.
nlohmann::json to_status(const report::RoundsState& rounds);

// "pretrain longer: underfitting holds (train.loss 1.2, valid.gap 0.03); that is, …".
std::string considered_text(const Considered& considered, const recipe::Thresholds& thresholds);

}  // namespace polyphase
