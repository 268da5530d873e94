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

TEST(PhaseState, AnOlderStateIsItsOwnResult) {
  nlohmann::json json = PhaseState{.step = 7, .result_step = 4};
  EXPECT_EQ(json.get<PhaseState>().result_step, 4);
  json.erase("result_step");
  EXPECT_EQ(json.get<PhaseState>().result_step, 7);
}

}  // namespace
}  // namespace polyphase
