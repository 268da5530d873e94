// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "predict/generate.hpp"
#include "predict/trained_phase.hpp"

namespace polyphase {

// What follows from a text, and how many tokens that is.
struct WrittenText {
  std::string text;
  std::int64_t num_tokens = 0;
  bool is_of_cut = false;  // the given text did not fit into max_tokens
};

// Texts go through the model so many together.
inline constexpr std::int64_t kTextsTogether = 16;

// Texts that follow from texts, by a phase's language model: for a generation task the target of
// each source, for a causal or prefix language model what continues it. The same for any number of
// ranks: groups of kTextsTogether are dealt to the data-parallel ranks, and rank 0 gets all results
// in their order; the others get none. `first_number` is that of the first text in the whole job, a
// multiple of kTextsTogether: what is drawn for a text goes by its number. Collective. Throws
// RecipeError for a phase that generates nothing.
std::vector<WrittenText> write_texts(TrainedPhase& trained, const Communicator& world,
                                     const std::vector<std::string>& texts,
                                     const GenerationSettings& settings,
                                     std::int64_t first_number = 0);

// The same, each as one line: a line end in it is written \n, a backslash \\. Warns of texts that
// were cut.
std::vector<std::string> generate_texts(TrainedPhase& trained, const Communicator& world,
                                        const std::vector<std::string>& texts,
                                        const GenerationSettings& settings);

// The same for one text, whose pieces `on_text` hears on rank 0 as they come, when there is a
// single beam. Returns the whole.
std::string generate_text(TrainedPhase& trained, const Communicator& world, const std::string& text,
                          const GenerationSettings& settings,
                          const std::function<void(const std::string&)>& on_text);

}  // namespace polyphase
