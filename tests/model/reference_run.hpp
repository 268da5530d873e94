// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/session.hpp"
#include "corpus/batch_stream.hpp"
#include "recipe/recipe.hpp"
#include "train/phase_model.hpp"
#include "train/step.hpp"
#include "train/weight_average.hpp"

namespace polyphase {

// The ranks of this test program.
extern const Communicator* test_world;

// Why a test is skipped: ranks that each compute the same alone show no more than one does, and one
// rank cannot show what several do together.
inline constexpr const char* kOneRankShowsIt = "one rank shows it";
inline constexpr const char* kNeedsSeveralRanks = "needs several ranks";

// A case of tests/model/reference: a tiny model, its batches, and the losses that an independent
// script computed.
nlohmann::json read_case(const std::string& name);
std::vector<std::string> all_cases();

// The case's model with its weights set by the script's formula, its optimizer, and 20 steps of it
// on a grid of ranks.
class ReferenceRun {
 public:
  // num_micro_batches: of a step on all data-parallel ranks; divides the case's 4 sequences.
  ReferenceRun(const nlohmann::json& reference, const RankGrid& grid,
               std::int64_t num_micro_batches,
               recipe::Precision precision = recipe::Precision::kF32, double dropout = 0.0,
               recipe::Shard shard = recipe::Shard::kNone);

  StepRecord step(std::int64_t number);
  // The step's loss under the parameters' average, of a phase that has one.
  double average_loss(std::int64_t number);
  // All of this rank's parameters, one behind the other.
  std::vector<float> parameters() const;
  PhaseModel& model() { return *model_; }
  PhaseModel* teacher() { return teacher_.get(); }  // nullptr: there is none
  const Optimizer& optimizer() const { return *optimizer_; }
  const WeightAverage* average() const { return average_.get(); }
  const recipe::Recipe& recipe() const { return recipe_; }
  // This rank's micro-batches of a step.
  StepBatches batches(std::int64_t step) const;
  // The noise of a step.
  PassDropout dropout(std::int64_t step) const;

 private:
  const recipe::Phase& phase() const {
    return recipe_.phases.back();
  }  // the first may be a teacher

  const nlohmann::json& reference_;
  const RankGrid& grid_;
  std::int64_t num_micro_batches_;
  double dropout_;
  recipe::Recipe recipe_;
  std::unique_ptr<PhaseModel> teacher_, model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<WeightAverage> average_;
  std::unique_ptr<GradientReducer> reducer_;
};

// One rank for itself, whatever the number of ranks of the job.
RankGrid solo_grid();

}  // namespace polyphase
