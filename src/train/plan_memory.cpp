// SPDX-License-Identifier: Apache-2.0
#include "train/plan_memory.hpp"

#include <algorithm>
#include <utility>

#include "comm/session.hpp"
#include "optimizer/optimizer.hpp"
#include "recipe/load.hpp"
#include "train/gradient_reducer.hpp"
#include "train/largest_batch.hpp"
#include "train/planned_model.hpp"
#include "train/taught_outputs.hpp"
#include "train/weight_average.hpp"

namespace polyphase {

namespace {

// Where gradients lie differs between ranks that keep other shares of them. Of more ranks than
// this, as many are looked at, evenly spread.
constexpr int kMostRanks = 64;

PhaseModel::TrainingMemory most_training_memory(const PhaseModel& model,
                                                std::size_t num_gradient_sets,
                                                std::size_t update_bytes, Shards shards,
                                                int num_data_ranks) {
  PhaseModel::TrainingMemory most;
  const int num_looked_at = shards.divides_gradients ? std::min(num_data_ranks, kMostRanks) : 1;
  for (int i = 0; i < num_looked_at; ++i) {
    shards.rank = static_cast<int>(std::int64_t{i} * num_data_ranks / num_looked_at);
    PhaseModel::TrainingMemory memory =
        model.plan_training(num_gradient_sets, update_bytes, shards);
    if (memory.bytes > most.bytes) most = std::move(memory);
  }
  return most;
}

PlannedMemory plan_stage(const recipe::Recipe& recipe, const recipe::Phase& phase, int stage,
                         int num_data_ranks, const recipe::Recipe* teacher_recipe,
                         const recipe::Phase* teacher_phase) {
  const Communicator tensor = planning_communicator(static_cast<int>(recipe.parallel.tensor));
  const Communicator pipeline =
      planning_communicator(static_cast<int>(recipe.parallel.pipeline), stage);
  const auto model = planned_model(recipe, phase, tensor, &pipeline);
  const std::int64_t micro_batch = recipe::micro_batch_of(phase);
  PlannedMemory plan;
  plan.num_parameters = model->parameters().global_count();
  plan.num_micro_batches = phase.batch.sequences / micro_batch / num_data_ranks;
  const std::int64_t parameter_bytes =
      model->parameters().total_count() * std::int64_t{sizeof(float)};
  std::unique_ptr<PhaseModel> teacher;
  if (const auto& distil = phase.adaptation.distil) {
    teacher = planned_teacher(recipe, phase, tensor, pipeline, teacher_recipe, teacher_phase);
    plan.teacher_bytes = teacher->parameters().total_count() * std::int64_t{sizeof(float)};
    if (distil->kept) {
      plan.teacher_bytes += static_cast<std::int64_t>(
          teacher->plan_outputs(largest_batch(recipe, phase, micro_batch, kAssumedLabels),
                                num_outputs_of(*phase.task, kAssumedLabels)));
      model->learn_from_batches(*distil);
    } else {
      model->learn_from(*teacher, *distil);
    }
  }
  model->plan_micro_batches(plan.num_micro_batches);
  const Shards shards = make_shards(recipe, phase, model->parameters(), 0, num_data_ranks);
  const Optimizer optimizer(model->parameters(), phase, tensor, shards);
  for (int rank = 0; rank < num_data_ranks; ++rank) {
    std::int64_t bytes = optimizer.state_bytes(rank);
    if (phase.regularisation.average)
      bytes += WeightAverage::planned_bytes(model->parameters(), phase, shards, rank);
    plan.state_bytes = std::max(plan.state_bytes, parameter_bytes + bytes);
  }
  optimizer.mark_trained(model->parameters());
  model->plan_arena_bytes(largest_batch(recipe, phase, micro_batch, kAssumedLabels), true);
  const PhaseModel::TrainingMemory training =
      most_training_memory(*model, GradientReducer::num_gradient_sets(plan.num_micro_batches),
                           optimizer.plan_arena_bytes(model->parameters()), shards, num_data_ranks);
  plan.gradient_bytes = static_cast<std::int64_t>(training.gradient_bytes);
  plan.activation_bytes = static_cast<std::int64_t>(training.arena_bytes + training.link_bytes);
  plan.shared_bytes =
      plan.gradient_bytes + plan.activation_bytes - static_cast<std::int64_t>(training.bytes);
  if (teacher) plan.teacher_bytes += static_cast<std::int64_t>(teacher->planned_link_bytes());
  // A teacher that is asked beforehand is gone when the phase takes its memory.
  if (phase.adaptation.distil && phase.adaptation.distil->kept)
    plan.teacher_bytes = std::max(std::int64_t{0}, 2 * plan.teacher_bytes - plan.total_bytes());
  return plan;
}

}  // namespace

PlannedMemory plan_memory(const recipe::Recipe& recipe, const recipe::Phase& phase,
                          int num_data_ranks, const recipe::Recipe* teacher_recipe,
                          const recipe::Phase* teacher_phase) {
  PlannedMemory most;
  for (const StagesAlike& alike : stages_that_differ(recipe, phase)) {
    const PlannedMemory one =
        plan_stage(recipe, phase, alike.first, num_data_ranks, teacher_recipe, teacher_phase);
    if (alike.first == 0 || one.total_bytes() > most.total_bytes()) most = one;
  }
  return most;
}

}  // namespace polyphase
