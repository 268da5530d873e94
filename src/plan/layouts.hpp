// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "plan/plan_time.hpp"

namespace polyphase {

// A layout of a whole recipe.
struct PlannedLayout {
  Layout layout;
  std::int64_t memory_bytes = 0;  // of one rank, in the phase that needs the most
  double seconds = 0;  // of all phases whose steps are known; else of a step of each phase
  double tokens_per_second = 0, mfu = 0;  // over those
};

// Those that fit, the fastest first, and of how many that the program can run.
struct PlannedLayouts {
  std::vector<PlannedLayout> fitting;
  std::size_t num_looked_at = 0;
};

// What a phase costs with recipe.parallel and recipe.recompute, on so many data-parallel ranks.
struct PhaseCosts {
  std::function<std::int64_t(const recipe::Recipe&, const recipe::Phase&, std::int64_t)>
      memory_bytes;
  std::function<StepWork(const recipe::Recipe&, const recipe::Phase&, std::int64_t)> work;
  // RecipeError where a teacher of another run cannot be split over so many ranks as the recipe
  // asks.
  std::function<void(const recipe::Recipe&, std::int64_t num_ranks)> check_teachers =
      [](const recipe::Recipe&, std::int64_t) {};
};

recipe::Recipe with_layout(const recipe::Recipe& recipe, const Layout& layout);

// Looks at every layout that the program can run: tensor × pipeline × data that the recipe's
// extents and batches allow, rows divided or not, chunks of layers a stage, what can be divided
// over data ranks or not, each mode of recompute. Gives back at most `most`, of equally fast ones
// the simplest first. Phases that make a corpus are left out.
PlannedLayouts plan_layouts(const recipe::Recipe& recipe, std::int64_t num_ranks,
                            const Machine& machine, const PhaseCosts& costs, std::size_t most);

// What to change where no layout fits: a smaller micro-batch, more ranks, or what the model itself
// is made of; each with what it then needs.
std::string advice(const recipe::Recipe& recipe, std::int64_t num_ranks, const Machine& machine,
                   const PhaseCosts& costs);

}  // namespace polyphase
