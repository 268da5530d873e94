// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/phase_model.hpp"

namespace polyphase {

// Labels that a corpus which is not opened counts as having.
inline constexpr int kAssumedLabels = 64;

// A phase's model before any corpus is opened, with all parameters declared and no memory behind
// them: the vocabulary is as large as the recipe asks for.
std::unique_ptr<PhaseModel> planned_model(const recipe::Recipe& recipe, const recipe::Phase& phase,
                                          const Communicator& tensor,
                                          const Communicator* pipeline = nullptr);

}  // namespace polyphase
