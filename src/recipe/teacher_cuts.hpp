// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "recipe/recipe.hpp"

namespace polyphase::recipe {

// Where the layers of a phase's teacher, counted through its stacks, are cut into the chunks of the
// recipe's pipeline: the first of each chunk and, last, how many there are. Empty: evenly. Where a
// phase learns from more than a model's last layer, the teacher is cut in proportion to the phase's
// own model, so that each layer and the one that it learns from are in the same chunk: of n layers
// here and N there, the first layer k of a chunk belongs to layer ⌊k · N / n⌋ of the teacher's
// stack.
std::vector<std::int64_t> teacher_cuts(const Recipe& recipe, const Phase& phase,
                                       const Model& teacher);

// Why the teacher of that name cannot be cut so: a chunk has none of its layers. Empty if there is
// no fault.
std::string teacher_cut_fault(const Recipe& recipe, std::size_t phase_index,
                              const std::string& name, const Model& teacher);

}  // namespace polyphase::recipe
