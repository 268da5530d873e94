// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "recipe/recipe.hpp"

namespace polyphase {

// Memory of one rank of a phase in bytes, known before anything runs: of state as much as the rank
// with the most of it has, and likewise of gradients and activations together; of a pipeline, on
// the stage that needs the most.
struct PlannedMemory {
  std::int64_t num_parameters = 0;     // of the whole model
  std::int64_t num_micro_batches = 0;  // of a step on one rank
  std::int64_t state_bytes = 0;        // this rank's parameters, their average, optimizer state
  std::int64_t gradient_bytes = 0;
  // A teacher's parameters, and what is on its way to its other stages.
  std::int64_t teacher_bytes = 0;
  // Of the largest micro-batch: every sequence as long as it may be. Of as many as are under way,
  // with a teacher's and with what is on its way to other stages.
  std::int64_t activation_bytes = 0;
  // Memory that both gradients and activations have (model/gradient_layout.hpp).
  std::int64_t shared_bytes = 0;

  // Beside what the program itself takes.
  std::int64_t total_bytes() const {
    return state_bytes + gradient_bytes + teacher_bytes + activation_bytes - shared_bytes;
  }
};

// Plans a phase on recipe.parallel.tensor × recipe.parallel.pipeline × num_data_ranks ranks. The
// vocabulary counts as the recipe asks for it, and a labelled corpus, which is not opened, as one
// of 64 labels. A teacher that belongs to another run is described by that run's recipe and phase.
PlannedMemory plan_memory(const recipe::Recipe& recipe, const recipe::Phase& phase,
                          int num_data_ranks, const recipe::Recipe* teacher_recipe = nullptr,
                          const recipe::Phase* teacher_phase = nullptr);

}  // namespace polyphase
