// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/checkpoint_writer.hpp"
#include "train/phase.hpp"
#include "train/phase_data.hpp"
#include "train/phase_result.hpp"
#include "train/phase_state.hpp"

namespace polyphase {

// Where a phase begins.
struct PhaseStart {
  PhaseState state;
  bool resumed = false;  // from a checkpoint of its own
};

// What a phase of this job begins with in the lineage of what it makes; its data and its origin are
// for the caller to fill in.
Lineage lineage_of(const PhaseJob& job);

// Fills parameters, optimizer state and the average (nullptr: the phase has none): from the newest
// checkpoint of this phase whose every digest holds, else from the phase it starts from, else anew.
// A damaged checkpoint is set aside, loudly, and the one before it taken. Collective; errors are
// agreed: DataError when no checkpoint is whole, RecipeError when the corpus is not the one that
// the checkpoint was trained on.
PhaseStart start_phase(const PhaseJob& job, const PhaseCorpus& corpus, ParameterSet& parameters,
                       Optimizer& optimizer, WeightAverage* average);

// Fills parameters from the phase's result. Collective; errors are agreed: DataError when the
// checkpoint is damaged.
void load_result(const PhaseJob& job, ParameterSet& parameters);

// Begins to write what start_phase() reads. Collective over all ranks; errors are agreed.
void begin_to_save_phase(CheckpointWriter& writer, const PhaseJob& job, const PhaseCorpus& corpus,
                         const PhaseState& state, const ParameterSet& parameters,
                         const Optimizer& optimizer, const WeightAverage* average);

}  // namespace polyphase
