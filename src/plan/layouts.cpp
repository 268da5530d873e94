// SPDX-License-Identifier: Apache-2.0
#include "plan/layouts.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "base/error.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

constexpr std::array kShards = {recipe::Shard::kNone, recipe::Shard::kOptimizer,
                                recipe::Shard::kGradients};
constexpr std::array kRecomputes = {recipe::Recompute::kNone, recipe::Recompute::kSelective,
                                    recipe::Recompute::kFull};

// What a person would have to wait for to hear of more ranks than this is no plan.
constexpr std::int64_t kMostTimesTheRanks = 64;

bool is_legal(const recipe::Recipe& recipe, std::int64_t num_ranks) {
  try {
    recipe::check_layout(recipe, num_ranks);
    return true;
  } catch (const RecipeError&) {
    return false;
  }
}

std::vector<std::int64_t> legal_tensors(const recipe::Recipe& recipe, std::int64_t num_ranks) {
  std::vector<std::int64_t> tensors;
  for (std::int64_t t = 1; t <= std::min(num_ranks, recipe.model.width); ++t) {
    if (num_ranks % t != 0) continue;
    recipe::Recipe other = recipe;
    other.parallel.tensor = t;
    if (is_legal(other, num_ranks)) tensors.push_back(t);
  }
  return tensors;
}

double rank_bytes(const Machine& machine, std::int64_t num_ranks) {
  return machine.rates_for(num_ranks).memory_gib * 1024 * 1024 * 1024;
}

// Of the phase with the most.
std::int64_t memory_of(const recipe::Recipe& recipe, const Layout& layout,
                       const PhaseCosts& costs) {
  std::int64_t most = 0;
  for (const recipe::Phase& phase : recipe.phases) {
    if (!phase.generate) most = std::max(most, costs.memory_bytes(recipe, phase, layout.data));
  }
  return most;
}

// Of each step, one micro-batch a rank at most, which needs one set of gradients. Interleaved
// stages take several.
recipe::Recipe with_one_micro_batch(recipe::Recipe recipe, std::int64_t data) {
  recipe.parallel.interleave = 1;
  for (recipe::Phase& phase : recipe.phases) {
    phase.batch.micro_batch = recipe::micro_batch_of(phase);
    phase.batch.sequences = std::min(phase.batch.sequences, data * phase.batch.micro_batch);
    phase.batch.ramp.reset();
  }
  return recipe;
}

enum class StepSize { kAsAsked, kOneMicroBatch };

// The layout of these ranks that needs the least memory.
std::optional<PlannedLayout> smallest(const recipe::Recipe& recipe, std::int64_t num_ranks,
                                      const Machine& machine, const PhaseCosts& costs,
                                      StepSize size = StepSize::kAsAsked) {
  recipe::Recipe asked = recipe;
  if (size == StepSize::kOneMicroBatch) asked.parallel.interleave = 1;
  const std::vector<std::int64_t> tensors = legal_tensors(asked, num_ranks);
  if (tensors.empty()) return std::nullopt;
  PlannedLayout best = {.memory_bytes = std::numeric_limits<std::int64_t>::max()};
  // Not always that of the most tensor-parallel ranks: they divide neither optimizer nor gradients.
  for (const std::int64_t tensor : tensors) {
    const Layout layout = {.tensor = tensor,
                           .pipeline = recipe.parallel.pipeline,
                           .data = num_ranks / tensor / recipe.parallel.pipeline,
                           .shard = recipe::Shard::kGradients,
                           .recompute = recipe::Recompute::kFull};
    const recipe::Recipe sized =
        size == StepSize::kOneMicroBatch ? with_one_micro_batch(recipe, layout.data) : recipe;
    const std::int64_t bytes = memory_of(with_layout(sized, layout), layout, costs);
    if (bytes < best.memory_bytes) best = {.layout = layout, .memory_bytes = bytes};
  }
  best.fits = static_cast<double>(best.memory_bytes) <= rank_bytes(machine, num_ranks);
  return best;
}

std::string words(const PlannedLayout& planned) {
  const Layout& layout = planned.layout;
  return fmt::format("{}, shard gradients, recompute full: {:.2f} GiB a rank",
                     recipe::layout_words(layout.tensor, layout.pipeline, layout.data),
                     static_cast<double>(planned.memory_bytes) / (1024.0 * 1024.0 * 1024.0));
}

std::int64_t largest_micro_batch(const recipe::Recipe& recipe) {
  std::int64_t largest = 1;
  for (const recipe::Phase& phase : recipe.phases)
    largest = std::max(largest, recipe::micro_batch_of(phase));
  return largest;
}

recipe::Recipe with_micro_batch(recipe::Recipe recipe, std::int64_t most) {
  for (recipe::Phase& phase : recipe.phases)
    phase.batch.micro_batch = std::min(most, recipe::micro_batch_of(phase));
  return recipe;
}

}  // namespace

recipe::Recipe with_layout(const recipe::Recipe& recipe, const Layout& layout) {
  recipe::Recipe other = recipe;
  other.parallel.tensor = layout.tensor;
  other.parallel.pipeline = layout.pipeline;
  other.parallel.shard = layout.shard;
  other.recompute = layout.recompute;
  return other;
}

std::vector<PlannedLayout> plan_layouts(const recipe::Recipe& recipe, std::int64_t num_ranks,
                                        const Machine& machine, const PhaseCosts& costs) {
  const bool all_known =
      std::all_of(recipe.phases.begin(), recipe.phases.end(), [&](const recipe::Phase& phase) {
        return phase.generate || num_steps_of(recipe, phase).has_value();
      });
  std::vector<PlannedLayout> planned;
  for (const std::int64_t tensor : legal_tensors(recipe, num_ranks)) {
    const std::int64_t pipeline = recipe.parallel.pipeline, data = num_ranks / tensor / pipeline;
    for (const recipe::Recompute recompute : kRecomputes) {
      std::vector<std::pair<StepWork, double>> phases;  // with how often
      const recipe::Recipe laid_out = with_layout(
          recipe, {.tensor = tensor, .pipeline = pipeline, .data = data, .recompute = recompute});
      for (const recipe::Phase& phase : recipe.phases) {
        if (phase.generate) continue;
        phases.emplace_back(costs.work(laid_out, phase, data),
                            all_known ? static_cast<double>(*num_steps_of(recipe, phase)) : 1.0);
      }
      for (const recipe::Shard shard : kShards) {
        if (shard != recipe::Shard::kNone && data == 1) continue;
        PlannedLayout one = {.layout = {.tensor = tensor,
                                        .pipeline = pipeline,
                                        .data = data,
                                        .shard = shard,
                                        .recompute = recompute,
                                        .interleave = recipe.parallel.interleave}};
        one.memory_bytes = memory_of(with_layout(recipe, one.layout), one.layout, costs);
        one.fits = static_cast<double>(one.memory_bytes) <= rank_bytes(machine, num_ranks);
        for (const auto& [work, times] : phases) {
          const PlannedTime time = plan_time(work, one.layout, machine);
          one.seconds += times * time.step_seconds();
          one.tokens_per_second += times * time.tokens;
          one.mfu += times * time.step_seconds() * time.mfu;
        }
        one.tokens_per_second /= one.seconds;
        one.mfu /= one.seconds;
        planned.push_back(one);
      }
    }
  }
  std::stable_sort(planned.begin(), planned.end(),
                   [](const PlannedLayout& a, const PlannedLayout& b) {
                     if (a.fits != b.fits) return a.fits;
                     return a.fits ? a.seconds < b.seconds : a.memory_bytes < b.memory_bytes;
                   });
  return planned;
}

std::string advice(const recipe::Recipe& recipe, std::int64_t num_ranks, const Machine& machine,
                   const PhaseCosts& costs) {
  for (std::int64_t most = largest_micro_batch(recipe) / 2; most >= 1; most /= 2) {
    const auto found = smallest(with_micro_batch(recipe, most), num_ranks, machine, costs);
    if (found && found->fits)
      return fmt::format("a micro_batch of at most {} would fit, with {}", most, words(*found));
  }
  const recipe::Recipe least = with_micro_batch(recipe, 1);
  const auto one = smallest(least, num_ranks, machine, costs, StepSize::kOneMicroBatch);
  if (one && one->fits) {
    return fmt::format(
        "steps of one micro-batch a rank would fit, which need one set of gradients: a batch of {} "
        "sequences, a micro_batch of 1, {}and {}",
        one->layout.data, recipe.parallel.interleave > 1 ? "a parallel.interleave of 1, " : "",
        words(*one));
  }
  for (std::int64_t times = 2; times <= kMostTimesTheRanks; times *= 2) {
    const auto found = smallest(least, times * num_ranks, machine, costs);
    if (found && found->fits)
      return fmt::format("{} ranks would do, with a micro_batch of 1 and {}", times * num_ranks,
                         words(*found));
  }
  if (!one)
    return fmt::format("no tensor × data of {} ranks divides the model and the batches", num_ranks);
  return fmt::format(
      "the least is {}, with one micro-batch of 1 a rank; every rank has all parameters of its "
      "tensor part: take a smaller model.width, num_layers or max_tokens, or more "
      "heads (of keys, too) for more tensor-parallel ranks",
      words(*one));
}

}  // namespace polyphase
