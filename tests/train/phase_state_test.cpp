// SPDX-License-Identifier: Apache-2.0
#include "train/phase_state.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace polyphase {
namespace {

// The evaluation, from 1, with which patience runs out; 0 where it lasts.
int end_of_patience(const recipe::Early& early, const std::vector<double>& values,
                    PhaseState& state) {
  const std::string name = early.metric.substr(early.metric.find('.') + 1);
  for (std::size_t i = 0; i < values.size(); ++i) {
    state.step = static_cast<std::int64_t>(10 * (i + 1));
    if (runs_out_of_patience(state, early, {{name, values[i]}})) return static_cast<int>(i) + 1;
  }
  return 0;
}

TEST(EarlyStopping, LossesAndPerplexitiesAreBetterWhenLower) {
  for (const char* metric : {"valid.perplexity", "valid.loss", "valid.mlm_perplexity"}) {
    PhaseState state;
    EXPECT_EQ(end_of_patience({.metric = metric, .patience = 2}, {90, 60, 70, 50, 51, 50}, state),
              6)
        << metric;
    EXPECT_EQ(state.best_step, 40) << metric;
  }
}

TEST(EarlyStopping, ScoresAreBetterWhenHigher) {
  PhaseState state;
  EXPECT_EQ(
      end_of_patience({.metric = "valid.f1", .patience = 2}, {0.1, 0.4, 0.4, 0.5, 0.2, 0.3}, state),
      6);
  EXPECT_EQ(state.best_step, 40);
}

TEST(EarlyStopping, WhatIsNoNumberIsNeverBetter) {
  PhaseState state;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(end_of_patience({.metric = "valid.loss", .patience = 3}, {nan, 2, nan, nan, 1}, state),
            0);
  EXPECT_EQ(state.best_step, 50);
}

// Steps of the best evaluations, after those of `values` at steps 10, 20 …
std::vector<std::int64_t> best_steps(PhaseState& state, std::int64_t num_kept,
                                     const std::string& metric, const std::vector<double>& values) {
  for (const double value : values) {
    state.step += 10;
    const bool is_best =
        is_among_best(state, num_kept, metric, {{metric.substr(metric.find('.') + 1), value}});
    EXPECT_EQ(is_best, kept_steps(state).contains(state.step)) << state.step;
  }
  std::vector<std::int64_t> steps;
  for (const ScoredStep& evaluation : state.best_evaluations) steps.push_back(evaluation.step);
  return steps;
}

TEST(BestEvaluations, TheBestComeFirstAndOfEqualOnesTheEarlier) {
  PhaseState of_loss, of_f1, of_none;
  EXPECT_EQ(best_steps(of_loss, 3, "valid.loss", {3, 2, 4, 2, 1, 2}),
            (std::vector<std::int64_t>{50, 20, 40}));
  EXPECT_EQ(best_steps(of_f1, 2, "valid.f1", {0.3, 0.2, 0.4, 0.4, 0.1}),
            (std::vector<std::int64_t>{30, 40}));
  EXPECT_EQ(best_steps(of_none, 0, "valid.loss", {3, 2}), std::vector<std::int64_t>());
}

TEST(BestEvaluations, WhatIsNoNumberIsNone) {
  PhaseState state;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(best_steps(state, 2, "valid.loss", {nan, 2, nan}), (std::vector<std::int64_t>{20}));
}

TEST(BestEvaluations, GoOnFromACheckpointWithAnotherNumberOfThem) {
  PhaseState before;
  best_steps(before, 3, "valid.loss", {3, 1, 2});
  PhaseState state = nlohmann::json(before).get<PhaseState>();
  EXPECT_EQ(state.best_evaluations, before.best_evaluations);
  state.step = 30;
  EXPECT_EQ(best_steps(state, 2, "valid.loss", {5}), (std::vector<std::int64_t>{20, 30}));
  nlohmann::json older = before;
  older.erase("best_evaluations");
  EXPECT_TRUE(older.get<PhaseState>().best_evaluations.empty());
}

TEST(PhaseState, AnOlderStateIsItsOwnResult) {
  nlohmann::json json = PhaseState{.step = 7, .result_step = 4};
  EXPECT_EQ(json.get<PhaseState>().result_step, 4);
  json.erase("result_step");
  EXPECT_EQ(json.get<PhaseState>().result_step, 7);
}

}  // namespace
}  // namespace polyphase
