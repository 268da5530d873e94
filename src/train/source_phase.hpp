// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "comm/communicator.hpp"
#include "io/lineage.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

class PhaseCorpus;

// A finished phase, of this run or of another, whose model a phase starts from or learns from.
struct SourcePhase {
  const recipe::Recipe& recipe;  // that describes its model
  const recipe::Phase& phase;
  std::filesystem::path folder;
  std::string name;  // as messages call it: "pretrain", of another run "wordnet/pretrain"
  bool is_of_other_run = false;
  std::string digest;  // that its result must have; empty: any
};

// What to do when its checkpoint is damaged.
std::string remedy_for(const SourcePhase& source, const std::filesystem::path& checkpoint);

// Its result (train/phase_result.hpp). Collective; errors are agreed: DataError, with `purpose`
// ("so there is no teacher"), when there is none, RecipeError when it has another digest.
std::filesystem::path find_source(const Communicator& world, const SourcePhase& source,
                                  const std::string& purpose);

// RecipeError when the source's checkpoint was trained with another tokenizer.
void require_same_tokenizer(const std::filesystem::path& checkpoint, const SourcePhase& source,
                            const PhaseCorpus& corpus);

}  // namespace polyphase
