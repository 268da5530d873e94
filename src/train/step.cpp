// SPDX-License-Identifier: Apache-2.0
#include "train/step.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "comm/agreement.hpp"
#include "optimizer/gradient_norm.hpp"
#include "train/evaluate.hpp"
#include "train/pipeline_schedule.hpp"

namespace polyphase {
namespace {

// Terms of each objective and, last, tokens: of the whole step on all data-parallel ranks.
std::vector<std::int64_t> count_step(const StepBatches& batches, const PhaseModel& model,
                                     const Communicator& data) {
  std::vector<std::int64_t> counts(model.objective_names().size() + 1);
  for (const Batch& batch : batches.micro_batches) {
    const std::vector<std::int64_t> terms = model.num_terms(batch);
    for (std::size_t o = 0; o < terms.size(); ++o) counts[o] += terms[o];
    counts.back() += batch.num_tokens();
  }
  data.sum(counts.data(), static_cast<std::int64_t>(counts.size()));
  return counts;
}

// Loss and norm are the same on every rank, so all of them judge alike, before anything is spoilt.
std::optional<std::string> judge(const StepPlan& plan, double loss, double grad_norm) {
  if (plan.guard != nullptr)
    return fault_of_step(*plan.guard, *plan.losses_before, loss, grad_norm);
  if (std::isfinite(grad_norm)) return std::nullopt;
  throw DivergedError(
      fmt::format("step {}: the norm of the gradients is {} at a learning rate of {}: training has "
                  "diverged, and the last checkpoint is kept; lower optimizer.learning_rate or "
                  "lengthen schedule.warmup_steps, in a new run folder, or give the phase a guard",
                  plan.step + 1, grad_norm, plan.learning_rate),
      ExitCode::kUsage);
}

// Brings gradients into their bounds; what they are to be multiplied with remains.
double clip(const StepPlan& plan, const PhaseModel& model, ParameterSet& parameters,
            Tensor1<float> gradients, double grad_norm, const Shards& shards,
            const RankGrid& grid) {
  if (plan.max_grad_value > 0) {
    clamp_gradients(model.exec(), parameters, gradients, shards, plan.max_grad_value);
    grad_norm = gradient_norm(model.exec(), parameters, gradients, shards, grid);
  }
  return clip_scale(grad_norm, plan.max_grad_norm);
}

// Adds a later chunk's tallies of the micro-batch, of which the last has all but layers.
void join_chunk(std::vector<Tally>& tallies, std::vector<Tally> later) {
  for (std::size_t o = 0; o < tallies.size(); ++o)
    for (std::size_t i = 0; i < tallies[o].layers.size(); ++i)
      later[o].layers[i] += tallies[o].layers[i];
  tallies = std::move(later);
}

// The tallies are those of the micro-batches in their order; of a stage without heads, of layers
// alone.
std::vector<std::vector<Tally>> run_micro_batches(const StepPlan& plan,
                                                  const std::vector<Batch>& micro_batches,
                                                  const std::vector<float>& scales,
                                                  PhaseModel& model, GradientReducer& reducer) {
  using Way = PipelineTask::Way;
  std::vector<std::vector<Tally>> tallies(micro_batches.size());
  for (const PipelineTask& task :
       pipeline_schedule(model.parameters().stage(), std::ssize(micro_batches))) {
    // Heads, which write gradients going forward, are in a chunk that comes back at once.
    if (task.way == (model.has_heads(task.chunk) ? Way::kForward : Way::kBackward))
      reducer.begin_micro_batch(task.chunk);
    if (task.way == Way::kForward) {
      const auto m = static_cast<std::size_t>(task.micro_batch);
      join_chunk(tallies[m], model.forward(micro_batches[m], plan.dropout, scales, task.chunk));
    } else {
      model.backward([&](std::size_t parameter) { reducer.final_from(parameter); }, task.chunk);
      reducer.end_micro_batch();
    }
  }
  return tallies;
}

StepRecord take_step(const StepPlan& plan, const StepBatches& batches, PhaseModel& model,
                     GradientReducer& reducer, Optimizer& optimizer, const RankGrid& grid) {
  const std::vector<std::int64_t> counts = count_step(batches, model, grid.data);
  std::vector<float>
      scales;  // a term weighs the same wherever it is: one division by the whole count
  for (std::size_t o = 0; o + 1 < counts.size(); ++o) {
    scales.push_back(counts[o] == 0 ? 0.0F
                                    : static_cast<float>(model.objective_weights()[o] /
                                                         static_cast<double>(counts[o])));
  }

  optimizer.begin_step(model.parameters(), plan.step);
  reducer.begin_step(static_cast<std::int64_t>(batches.micro_batches.size()));
  const std::vector<std::vector<Tally>> tallies =
      run_micro_batches(plan, batches.micro_batches, scales, model, reducer);
  const Tensor1<float> gradients = reducer.finish();
  StepRecord record = {.num_tokens = counts.back()};
  record.penalty = add_penalty(model.exec(), model.parameters(), gradients, plan.penalty,
                               optimizer.shards(), grid);
  record.grad_norm =
      gradient_norm(model.exec(), model.parameters(), gradients, optimizer.shards(), grid);
  const std::vector<Tally> totals = sum_tallies(tallies, grid, dealing_of(optimizer.shards()));
  for (std::size_t o = 0; o < totals.size(); ++o) {
    record.losses.push_back(mean_loss(totals[o]));
    if (counts[o] == 0) continue;
    const double weight = model.objective_weights()[o];
    record.loss += weight * record.losses[o];
    record.divergence += weight * totals[o].divergence / static_cast<double>(totals[o].num_terms);
  }
  record.fault = judge(plan, record.loss, record.grad_norm);
  if (record.fault) return record;
  const double scale =
      clip(plan, model, model.parameters(), gradients, record.grad_norm, optimizer.shards(), grid);
  optimizer.update(model.exec(), model.parameters(), gradients, plan.learning_rate, scale,
                   plan.step);
  optimizer.share_updates(model.exec(), model.parameters(), grid.data);
  model.share_copies();
  return record;
}

}  // namespace

StepRecord train_step(const StepPlan& plan, const StepBatches& batches, PhaseModel& model,
                      GradientReducer& reducer, Optimizer& optimizer, const RankGrid& grid) {
  const double data = grid.data.wait_seconds(), tensor = grid.tensor.wait_seconds(),
               pipeline = grid.pipeline.wait_seconds();
  StepRecord record = take_step(plan, batches, model, reducer, optimizer, grid);
  record.data_wait_seconds = grid.data.wait_seconds() - data;
  record.tensor_wait_seconds = grid.tensor.wait_seconds() - tensor;
  record.pipeline_wait_seconds = grid.pipeline.wait_seconds() - pipeline;
  return record;
}

}  // namespace polyphase
