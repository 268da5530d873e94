// SPDX-License-Identifier: Apache-2.0
#include "plan/step_work.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "comm/session.hpp"
#include "optimizer/gradient_norm.hpp"
#include "optimizer/optimizer.hpp"
#include "plan/usual_batch.hpp"
#include "recipe/load.hpp"
#include "train/planned_model.hpp"

namespace polyphase {
namespace {

Work count_pass(PhaseModel& model, const Batch& batch, bool training) {
  const WorkCount count;
  model.plan_arena_bytes(batch, training);
  return count.work();
}

// A pass's share of what is done once a step: the norm of all gradients, which a plan of the arena
// makes room for.
void take_norm_out(Work& pass, const ParameterSet& parameters) {
  const WorkCount count;
  Arena counting;
  count_gradient_norm({.space = {}, .arena = &counting}, parameters);
  pass.moved_bytes -= count.work().moved_bytes;
  pass.num_kernels -= count.work().num_kernels;
}

double floats(const ParameterSet& parameters) {
  double count = 0;
  for (const StorageRange& range : parameters.trained_ranges())
    count += static_cast<double>(range.end - range.begin);
  return count;
}

std::int64_t num_layers_of(const recipe::Recipe& recipe, const recipe::Phase& phase) {
  const recipe::Model model = recipe::model_of(recipe, phase);
  return model.num_layers +
         (recipe::has_decoder(model, phase) ? recipe::num_decoder_layers_of(model) : 0);
}

std::int64_t num_copied(const ParameterSet& parameters) {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters.all())
    if (parameter.trained && parameter.is_copy()) count += parameter.count;
  return count;
}

std::int64_t num_parts_of_rows(const recipe::Recipe& recipe, const ParameterSet& parameters) {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters.all())
    if (parameter.is_trained_here() && parameter.spec.sums_own_rows) count += parameter.count;
  return recipe.parallel.sequence ? count : 0;
}

// Parameters and optimizer state of the whole model, as a checkpoint has them: in float32.
std::int64_t whole_state_bytes(const recipe::Recipe& recipe, recipe::Phase phase) {
  const Communicator alone = planning_communicator(1);
  recipe::Recipe whole = recipe;
  whole.parallel = {};
  phase.optimizer.state_precision = recipe::Precision::kF32;
  const auto model = planned_model(whole, phase, alone);
  const Optimizer optimizer(model->parameters(), phase, alone);
  return model->parameters().global_count() * std::int64_t{sizeof(float)} + optimizer.state_bytes();
}

StepWork count_stage(const recipe::Recipe& recipe, const recipe::Phase& phase, int stage,
                     std::int64_t num_data_ranks, const recipe::Recipe* teacher_recipe,
                     const recipe::Phase* teacher_phase) {
  const Communicator tensor = planning_communicator(static_cast<int>(recipe.parallel.tensor));
  const Communicator pipeline =
      planning_communicator(static_cast<int>(recipe.parallel.pipeline), stage);
  const auto model = planned_model(recipe, phase, tensor, &pipeline);
  ParameterSet& parameters = model->parameters();
  const Optimizer optimizer(parameters, phase, tensor);
  optimizer.mark_trained(parameters);
  const std::int64_t micro_batch = recipe::micro_batch_of(phase);
  const Batch batch = usual_batch(recipe, phase, micro_batch);

  StepWork step = {.precision = recipe.precision,
                   .num_micro_batches = phase.batch.sequences / micro_batch / num_data_ranks,
                   .tokens = static_cast<double>(batch.starts.back()),
                   .num_parameters = parameters.total_count(),
                   .num_trained = static_cast<std::int64_t>(floats(parameters)),
                   .num_copied = num_copied(parameters),
                   .num_parts_of_rows = num_parts_of_rows(recipe, parameters),
                   .num_layers = num_layers_of(recipe, phase) / recipe.parallel.pipeline};
  if (!batch.source.starts.empty()) step.tokens += static_cast<double>(batch.source.starts.back());
  const Work forward = count_pass(*model, batch, false);
  step.pass = count_pass(*model, batch, true);
  const auto flops = [](const Work& work) {
    return work.product_flops() + work.whole_attention_flops;
  };
  step.model_flops = 3 * flops(forward);
  const bool all_trained = step.num_trained == step.num_parameters;
  if (!all_trained) step.model_flops = std::min(step.model_flops, flops(step.pass));
  std::unique_ptr<PhaseModel> teacher;  // lives as long as the model
  if (phase.adaptation.distil && !phase.adaptation.distil->kept) {
    teacher = planned_teacher(recipe, phase, tensor, pipeline, teacher_recipe, teacher_phase);
    model->learn_from(*teacher, *phase.adaptation.distil);
    step.pass = count_pass(*model, batch, true);
    step.model_flops += flops(count_pass(*teacher, batch, false));
  }
  take_norm_out(step.pass, parameters);
  {
    const WorkCount count;
    optimizer.plan_arena_bytes(parameters);
    step.update = count.work();
  }
  return step;
}

}  // namespace

// Stages wait for the one that takes longest.
StepWork count_step(const recipe::Recipe& recipe, const recipe::Phase& phase,
                    std::int64_t num_data_ranks, const recipe::Recipe* teacher_recipe,
                    const recipe::Phase* teacher_phase) {
  POLYPHASE_PROMISE(!phase.generate, "a phase that makes a corpus has no steps");
  const auto num_stages = static_cast<int>(recipe.parallel.pipeline);
  StepWork longest;
  double model_flops = 0;
  for (const StagesAlike& alike : stages_that_differ(recipe, phase)) {
    StepWork one =
        count_stage(recipe, phase, alike.first, num_data_ranks, teacher_recipe, teacher_phase);
    model_flops += one.model_flops * alike.count / num_stages;
    const auto flops = [](const Work& work) { return work.product_flops() + work.attention_flops; };
    if (alike.first == 0 || flops(one.pass) > flops(longest.pass)) longest = std::move(one);
  }
  longest.model_flops = model_flops;
  longest.checkpoint_bytes = whole_state_bytes(recipe, phase);
  return longest;
}

}  // namespace polyphase
