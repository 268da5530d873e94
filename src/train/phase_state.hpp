// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "io/lineage.hpp"
#include "recipe/recipe.hpp"
#include "train/checkpointing.hpp"
#include "train/guard.hpp"

namespace polyphase {

// An evaluation's score, higher for better ones, and the step that it was made at.
struct ScoredStep {
  double score = 0;
  std::int64_t step = 0;
  bool operator==(const ScoredStep&) const = default;
};

// What a phase must remember besides tensors: kept in every checkpoint as its state.
struct PhaseState {
  std::int64_t step = 0;  // steps done; samples consumed = step × sequences
  std::int64_t num_tokens = 0;
  double seconds = 0;
  bool evaluation_due = false;  // stopped before the evaluation that belongs to this step was done
  bool stopped_early = false;   // the early-stop metric has run out of patience
  double best_metric = 0;       // of early stopping, from best_step on
  std::int64_t best_step = -1;  // -1: none yet
  std::int64_t num_worse = 0;   // evaluations since the best
  // Whose checkpoint is the phase's result so far, what is handed over, evaluated and used: this
  // step's, or that of the best evaluation (stop.early.keep).
  std::int64_t result_step = 0;
  std::vector<ScoredStep> best_evaluations;  // the best first; as many as checkpoint.keep_best says
  GuardState guard;
  HandOver hand_over;
  Lineage lineage;  // stands beside the rest in a checkpoint's state
};

// Counts an evaluation towards early stopping and returns whether patience has run out with it.
bool runs_out_of_patience(PhaseState& state, const recipe::Early& early,
                          const std::map<std::string, double>& valid);

// Enters an evaluation by `metric` ("valid.loss") among the best `num_kept` and returns whether it
// is one of them; of equal ones the earlier.
bool is_among_best(PhaseState& state, std::int64_t num_kept, const std::string& metric,
                   const std::map<std::string, double>& valid);

// Steps whose checkpoints stay whatever comes: the result's and those of the best evaluations.
std::set<std::int64_t> kept_steps(const PhaseState& state);

void to_json(nlohmann::json& json, const PhaseState& state);
void from_json(const nlohmann::json& json, PhaseState& state);

}  // namespace polyphase
