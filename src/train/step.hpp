// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "comm/agreement.hpp"
#include "comm/session.hpp"
#include "corpus/batch_stream.hpp"
#include "optimizer/optimizer.hpp"
#include "optimizer/penalty.hpp"
#include "train/gradient_reducer.hpp"
#include "train/guard.hpp"
#include "train/phase_model.hpp"

namespace polyphase {

// What is fixed about a step before it runs.
struct StepPlan {
  std::int64_t step = 0;  // counted from 0
  double learning_rate = 0;
  double max_grad_norm = 0;   // 0: no clipping
  double max_grad_value = 0;  // of each element, before the norm; 0: no clipping
  PassDropout dropout;
  Penalty penalty;
  // With a guard, a step that it finds fault with is not taken. Without one, a step that is not
  // finite is a DivergedError.
  const recipe::Guard* guard = nullptr;
  const LossHistory* losses_before = nullptr;  // of the guard
};

// What a step gives, but for waits the same on every rank. Losses are in nats a term.
struct StepRecord {
  double loss = 0;              // weighted sum of the objectives'
  std::vector<double> losses;   // of each objective
  double divergence = 0;        // R-Drop's, weighted like the losses, which it is not part of
  double penalty = 0;           // likewise no part of the loss
  double grad_norm = 0;         // of all that is minimised, before clipping
  std::int64_t num_tokens = 0;  // of the whole job
  // How long this rank waited for the others of each axis, with nothing to do: exposed
  // communication, and the time that others are slower. Not the same on every rank.
  double data_wait_seconds = 0, tensor_wait_seconds = 0, pipeline_wait_seconds = 0;
  // Why nothing was updated: parameters and optimizer state are as they were before the step.
  std::optional<std::string> fault;
};

// Training cannot go on: it has left what is finite, or goes wrong again and again. Thrown on all
// ranks alike.
struct DivergedError : AgreedError {
  using AgreedError::AgreedError;
};

// One training step. Collective over all ranks.
StepRecord train_step(const StepPlan& plan, const StepBatches& batches, PhaseModel& model,
                      GradientReducer& reducer, Optimizer& optimizer, const RankGrid& grid);

}  // namespace polyphase
