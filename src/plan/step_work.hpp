// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/work.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// What one rank does in a step of a phase, of a pipeline on the stage with the most to compute,
// counted by running its own code without memory and without arithmetic (kernels/work.hpp). Every
// sequence is as long as it may be.
struct StepWork {
  recipe::Precision precision = recipe::Precision::kF32;
  std::int64_t num_micro_batches = 0;
  Work pass;    // forward and backward of a micro-batch, a teacher's forward with it
  Work update;  // of all parameters that this rank has
  // Of a micro-batch as the field counts them (Narayanan et al., 2021, appendix): the forward pass
  // and a backward pass twice as large, every query with every key, nothing run again; less what
  // frozen parameters save. Of one rank, the mean of all stages.
  double model_flops = 0;
  double tokens = 0;                // of a micro-batch, padding not counted
  std::int64_t num_parameters = 0;  // floats that this rank has
  std::int64_t num_trained = 0;     // of them, those whose gradients are summed
  std::int64_t num_copied = 0;      // of a pipeline's shared parameters: those that it gets anew
  // Of the trained ones, what tensor-parallel ranks that divide rows sum, too.
  std::int64_t num_parts_of_rows = 0;
  std::int64_t num_layers = 0;        // gradients leave layer by layer
  std::int64_t checkpoint_bytes = 0;  // of the whole model with its optimizer
};

// On recipe.parallel.tensor × recipe.parallel.pipeline × num_data_ranks ranks. A phase that makes a
// corpus is refused. The teacher of another run is described as plan_memory() has it.
StepWork count_step(const recipe::Recipe& recipe, const recipe::Phase& phase,
                    std::int64_t num_data_ranks, const recipe::Recipe* teacher_recipe = nullptr,
                    const recipe::Phase* teacher_phase = nullptr);

}  // namespace polyphase
