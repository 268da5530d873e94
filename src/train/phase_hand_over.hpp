// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "optimizer/optimizer.hpp"
#include "train/phase.hpp"
#include "train/phase_data.hpp"
#include "train/phase_state.hpp"

namespace polyphase {

// Fills parameters from the result of the phase that this one starts from, and optimizer state as
// far as the recipe wants it kept or converted; `state` gets to know what was taken over, and from
// where. Collective; errors are agreed: DataError when that checkpoint is damaged, RecipeError when
// its tokenizer or depth does not go with this phase.
void take_over_model(const PhaseJob& job, const PhaseCorpus& corpus, ParameterSet& parameters,
                     Optimizer& optimizer, PhaseState& state);

}  // namespace polyphase
