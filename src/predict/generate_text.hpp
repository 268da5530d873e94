// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "predict/generate.hpp"
#include "predict/trained_phase.hpp"

namespace polyphase {

// Texts that follow from texts, by a phase's language model: for a generation task the target of
// each source, for a causal or prefix language model what continues it. The same for any number of
// ranks: lines are dealt to the data-parallel ranks in blocks, and rank 0 gets all results in their
// order; the others get none. Collective. Throws RecipeError for a phase that generates nothing.
std::vector<std::string> generate_texts(TrainedPhase& trained, const Communicator& world,
                                        const std::vector<std::string>& texts,
                                        const GenerationSettings& settings);

// The same for one text, whose pieces `on_text` hears on rank 0 as they come, when there is a
// single beam. Returns the whole.
std::string generate_text(TrainedPhase& trained, const Communicator& world, const std::string& text,
                          const GenerationSettings& settings,
                          const std::function<void(const std::string&)>& on_text);

}  // namespace polyphase
