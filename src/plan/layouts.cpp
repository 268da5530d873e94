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

bool is_legal(const recipe::Recipe& recipe, std::int64_t num_ranks, const PhaseCosts& costs) {
  try {
    recipe::check_layout(recipe, num_ranks);
    recipe::check_strategy_layouts(recipe, num_ranks);
    costs.check_teachers(recipe, num_ranks);
    return true;
  } catch (const RecipeError&) {
    return false;
  }
}

// Numbers up to `most` that divide `whole`.
std::vector<std::int64_t> divisors_of(std::int64_t whole, std::int64_t most) {
  std::vector<std::int64_t> divisors;
  for (std::int64_t d = 1; d <= std::min(whole, most); ++d)
    if (whole % d == 0) divisors.push_back(d);
  return divisors;
}

std::int64_t most_layers_of(const recipe::Recipe& recipe) {
  std::int64_t most = 1;
  for (const recipe::Phase& phase : recipe.phases) {
    const recipe::Model model = recipe::model_of(recipe, phase);
    most = std::max(most, model.num_layers + recipe::num_decoder_layers_of(model));
  }
  return most;
}

// All ways to share the model and the batches, but for what is divided over data ranks and what is
// run again; the simplest first. Chunks of a stage are doubled, or as many as the recipe has.
std::vector<Layout> legal_grids(const recipe::Recipe& recipe, std::int64_t num_ranks,
                                const PhaseCosts& costs) {
  const std::int64_t most_layers = most_layers_of(recipe), own = recipe.parallel.interleave;
  std::vector<std::int64_t> interleaves = {1};
  for (std::int64_t v = 2; v <= most_layers; v *= 2) interleaves.push_back(v);
  if (!std::ranges::binary_search(interleaves, own)) interleaves.push_back(own);
  std::vector<Layout> grids;
  for (const std::int64_t pipeline : divisors_of(num_ranks, most_layers)) {
    for (const std::int64_t tensor : divisors_of(num_ranks / pipeline, recipe.model.width)) {
      for (const std::int64_t interleave : interleaves) {
        if (pipeline == 1 && interleave > 1) continue;
        const Layout grid = {.tensor = tensor,
                             .pipeline = pipeline,
                             .data = num_ranks / pipeline / tensor,
                             .interleave = interleave};
        if (!is_legal(with_layout(recipe, grid), num_ranks, costs)) continue;
        grids.push_back(grid);
        if (tensor == 1) continue;
        grids.push_back(grid);
        grids.back().sequence = true;
      }
    }
  }
  return grids;
}

bool fits(const PlannedLayout& planned, const Machine& machine) {
  constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
  return static_cast<double>(planned.memory_bytes) <=
         kGiB * machine.rates_for(planned.layout.num_ranks()).memory_gib;
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

// The layout of these ranks that needs the least memory. It has one chunk of layers a stage: more
// of them only add activations.
std::optional<PlannedLayout> smallest(const recipe::Recipe& recipe, std::int64_t num_ranks,
                                      const PhaseCosts& costs, StepSize size = StepSize::kAsAsked) {
  recipe::Recipe asked = recipe;
  asked.parallel.interleave = 1;
  std::optional<PlannedLayout> best;
  // Not always that of the most tensor-parallel ranks: they divide neither optimizer nor gradients.
  for (Layout layout : legal_grids(asked, num_ranks, costs)) {
    if (layout.interleave > 1 || layout.sequence != (layout.tensor > 1)) continue;
    layout.shard = recipe::Shard::kGradients;
    layout.recompute = recipe::Recompute::kFull;
    const recipe::Recipe sized =
        size == StepSize::kOneMicroBatch ? with_one_micro_batch(recipe, layout.data) : recipe;
    const std::int64_t bytes = memory_of(with_layout(sized, layout), layout, costs);
    if (!best || bytes < best->memory_bytes) best = {.layout = layout, .memory_bytes = bytes};
  }
  return best;
}

PlannedLayout timed(const std::vector<std::pair<StepWork, double>>& phases, const Layout& layout,
                    const Machine& machine) {
  PlannedLayout one = {.layout = layout};
  for (const auto& [work, times] : phases) {
    const PlannedTime time = plan_time(work, layout, machine);
    one.seconds += times * time.step_seconds();
    one.tokens_per_second += times * time.tokens;
    one.mfu += times * time.step_seconds() * time.mfu;
  }
  one.tokens_per_second /= one.seconds;
  one.mfu /= one.seconds;
  return one;
}

// Of all layouts, without their memory.
std::vector<PlannedLayout> timed_layouts(const recipe::Recipe& recipe, std::int64_t num_ranks,
                                         const Machine& machine, const PhaseCosts& costs) {
  const bool all_known = std::ranges::all_of(recipe.phases, [&](const recipe::Phase& phase) {
    return phase.generate || num_steps_of(recipe, phase).has_value();
  });
  std::vector<PlannedLayout> planned;
  for (Layout layout : legal_grids(recipe, num_ranks, costs)) {
    for (const recipe::Recompute recompute : kRecomputes) {
      layout.recompute = recompute;
      const recipe::Recipe laid_out = with_layout(recipe, layout);
      std::vector<std::pair<StepWork, double>> phases;  // with how often
      for (const recipe::Phase& phase : recipe.phases) {
        if (phase.generate) continue;
        phases.emplace_back(costs.work(laid_out, phase, layout.data),
                            all_known ? static_cast<double>(*num_steps_of(recipe, phase)) : 1.0);
      }
      for (const recipe::Shard shard : kShards) {
        if (shard != recipe::Shard::kNone && layout.data == 1) continue;
        layout.shard = shard;
        planned.push_back(timed(phases, layout, machine));
      }
    }
  }
  return planned;
}

std::string words(const PlannedLayout& planned, const recipe::Recipe& recipe) {
  const Layout& layout = planned.layout;
  return fmt::format("{}{}{}, shard gradients, recompute full: {:.2f} GiB a rank",
                     recipe::layout_words(layout.tensor, layout.pipeline, layout.data),
                     layout.sequence ? ", sequence" : "",
                     recipe.parallel.interleave > 1 ? ", interleave 1" : "",
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
  other.parallel.interleave = layout.interleave;
  other.parallel.sequence = layout.sequence;
  other.parallel.shard = layout.shard;
  other.recompute = layout.recompute;
  return other;
}

PlannedLayouts plan_layouts(const recipe::Recipe& recipe, std::int64_t num_ranks,
                            const Machine& machine, const PhaseCosts& costs, std::size_t most) {
  std::vector<PlannedLayout> planned = timed_layouts(recipe, num_ranks, machine, costs);
  std::stable_sort(
      planned.begin(), planned.end(),
      [](const PlannedLayout& a, const PlannedLayout& b) { return a.seconds < b.seconds; });
  PlannedLayouts best = {.num_looked_at = planned.size()};
  // Memory takes longer to count than time, and is asked only of those that may be listed.
  for (PlannedLayout& one : planned) {
    if (best.fitting.size() == most) break;
    one.memory_bytes = memory_of(with_layout(recipe, one.layout), one.layout, costs);
    if (fits(one, machine)) best.fitting.push_back(one);
  }
  return best;
}

std::string advice(const recipe::Recipe& recipe, std::int64_t num_ranks, const Machine& machine,
                   const PhaseCosts& costs) {
  const recipe::Recipe least = with_micro_batch(recipe, 1);
  // Nothing needs less than one micro-batch of one sample a rank. To look at all layouts takes
  // seconds, and is left out where even that would not fit.
  const auto one = smallest(least, num_ranks, costs, StepSize::kOneMicroBatch);
  const bool one_fits = one && fits(*one, machine);
  for (std::int64_t most = one_fits ? largest_micro_batch(recipe) / 2 : 0; most >= 1; most /= 2) {
    const auto found = smallest(with_micro_batch(recipe, most), num_ranks, costs);
    if (found && fits(*found, machine))
      return fmt::format("a micro_batch of at most {} would fit, with {}", most,
                         words(*found, recipe));
  }
  if (one_fits) {
    return fmt::format(
        "steps of one micro-batch a rank would fit, which need one set of gradients: a batch of {} "
        "sequences, a micro_batch of 1, and {}",
        one->layout.data, words(*one, recipe));
  }
  const std::int64_t most_ranks = kMostTimesTheRanks * num_ranks;
  const auto bound = smallest(least, most_ranks, costs, StepSize::kOneMicroBatch);
  const bool in_vain = bound && !fits(*bound, machine);
  for (std::int64_t ranks = 2 * num_ranks; ranks <= most_ranks && !in_vain; ranks *= 2) {
    const auto found = smallest(least, ranks, costs);
    if (found && fits(*found, machine))
      return fmt::format("{} ranks would do, with a micro_batch of 1 and {}", ranks,
                         words(*found, recipe));
  }
  if (!one)
    return fmt::format("no tensor × pipeline × data of {} ranks divides the model and the batches",
                       num_ranks);
  return fmt::format(
      "the least is {}, with one micro-batch of 1 a rank; every rank has all parameters of its "
      "stage's tensor part: take a smaller model.width, num_layers or max_tokens, or more "
      "heads (of keys, too) for more tensor-parallel ranks",
      words(*one, recipe));
}

}  // namespace polyphase
