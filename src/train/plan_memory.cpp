// SPDX-License-Identifier: Apache-2.0
#include "train/plan_memory.hpp"

#include "comm/session.hpp"
#include "recipe/load.hpp"
#include "train/gradient_reducer.hpp"
#include "train/largest_batch.hpp"
#include "train/phase_model.hpp"

namespace polyphase {
namespace {

constexpr int kAssumedLabels = 64;

}  // namespace

PlannedMemory plan_memory(const recipe::Recipe& recipe, const recipe::Phase& phase,
                          int num_data_ranks) {
  const Communicator tensor = planning_communicator(static_cast<int>(recipe.parallel.tensor));
  PhaseData data = {.vocab_size = recipe.tokenizer.vocab_size, .label_names = {}};
  if (phase.task) data.label_names.assign(kAssumedLabels, "O");
  recipe::Phase planned = phase;
  if (planned.task) planned.task->class_weights.clear();  // the classes are not known yet
  const auto model = make_phase_model(recipe, planned, data, tensor);
  model->parameters().allocate_nothing();
  const std::int64_t micro_batch = recipe::micro_batch_of(phase);
  PlannedMemory plan;
  plan.num_parameters = model->parameters().global_count();
  plan.num_micro_batches = phase.batch.sequences / micro_batch / num_data_ranks;
  const std::int64_t parameter_bytes =
      model->parameters().total_count() * std::int64_t{sizeof(float)};
  plan.state_bytes = 3 * parameter_bytes;  // values and two moments
  plan.gradient_bytes =
      static_cast<std::int64_t>(GradientReducer::num_gradient_sets(plan.num_micro_batches)) *
      parameter_bytes;
  plan.activation_bytes = static_cast<std::int64_t>(
      model->plan_arena_bytes(largest_batch(recipe, phase, micro_batch, kAssumedLabels), true));
  return plan;
}

}  // namespace polyphase
