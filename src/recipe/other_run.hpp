// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "recipe/faults.hpp"
#include "recipe/recipe.hpp"

// What a recipe says of phases of other runs. Opens nothing: the other run's recipe is given.
namespace polyphase::recipe {

enum class OtherRunRole { kParent, kTeacher };

// A phase of this recipe that starts from, or learns from, a phase of another run.
struct OtherRunUse {
  std::size_t phase_number = 0;
  OtherRunRole role = OtherRunRole::kParent;
  OtherRun other;
};

// In the order of the recipe.
std::vector<OtherRunUse> uses_of_other_runs(const Recipe& recipe);

// "phases.topic.from" or "phases.topic.distil.teacher".
std::string key_of(const Recipe& recipe, const OtherRunUse& use);

// Its place in the recipe's file, or the recipe's name where it has none.
Place place_of(const Recipe& recipe, const OtherRunUse& use);

// "wordnet/pretrain", the other run's folder and phase: as messages call it.
std::string other_run_name(const OtherRun& other);

// Where a run folder has its tokenizer.
std::string tokenizer_of_run(const std::string& run_folder);

// Adds what keeps the use's phase from starting or learning from `other_phase` of `other`, each
// with its place. A model that is taken over must be the same but for its depth (with a rule for
// growth), rates of dropout and first values; a teacher has the same family and goal, and positions
// for as many tokens.
void check_other_run(const Recipe& recipe, const OtherRunUse& use, const Recipe& other,
                     const Phase& other_phase, Faults& faults);

}  // namespace polyphase::recipe
