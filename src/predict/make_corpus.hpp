// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "predict/trained_phase.hpp"
#include "train/phase.hpp"
#include "train/plan_memory.hpp"

namespace polyphase {

// Makes the corpus of a phase that generates one (io/made_corpus.hpp) in the phase's folder, from
// where an earlier job stopped: for every text of the given corpus what `model` writes. The files
// have the same bytes on any number of data-parallel ranks and after any stop. A step of such a
// phase is a group of kTextsTogether texts. Collective; errors are agreed: RecipeError where the
// corpus was begun by another model, from other texts or with other settings.
PhaseOutcome make_corpus(const PhaseJob& job, const TrainedPhaseChoice& model);

// Memory of one rank of such a phase. The vocabulary counts as the recipe asks for it.
PlannedMemory plan_corpus(const recipe::Recipe& recipe, const recipe::Phase& phase);

}  // namespace polyphase
