// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"
#include "cli/road.hpp"
#include "cli/shared_recipe.hpp"
#include "comm/agreement.hpp"
#include "kernels/bf16_support.hpp"
#include "recipe/load.hpp"

namespace polyphase {

ExitCode run_command(const RecipeOptions& recipe_options, const RunOptions& options,
                     const Communicator& world) {
  const recipe::Recipe recipe =
      shared_recipe(recipe_options, world, {.trains = true, .phase = options.phase});
  if (!options.phase.empty() && recipe::find_phase(recipe, options.phase) == nullptr) {
    std::vector<std::string> names;
    for (const recipe::Phase& known : recipe.phases) names.push_back(known.name);
    throw AgreedError(fmt::format("--phase {}: the recipe has no such phase; it has {}",
                                  options.phase, fmt::join(names, ", ")),
                      ExitCode::kUsage);
  }
  agree_on(world, [&] { check_all_patterns(recipe); });
  if (recipe.precision == recipe::Precision::kBf16 && !has_bf16_products() && world.rank() == 0)
    log_warning(
        "precision: bf16, but this processor has no instructions for it: products are computed in "
        "float32 from converted numbers; precision: f32 is faster here");
  if ((options.trial != 0 || options.round != 0) && !recipe.iterate) {
    throw AgreedError(fmt::format("--{}: the recipe has no rounds; leave it out",
                                  options.trial != 0 ? "trial" : "round"),
                      ExitCode::kUsage);
  }
  Road road(recipe, world,
            {.log_samples = options.log_samples, .round = options.round, .trial = options.trial});
  const bool finished = road.run(options.phase);
  const ExitCode code = road.end(finished);
  agree_on(world, [&] { road.report(); });
  if (code == ExitCode::kInterrupted) {
    log_info("stopped and saved ({}); the same command goes on", road.stop_reason());
  } else if (code == kNoProgress) {
    log_info(
        "stopped and saved, but it got no further in the last starts; the same job is not to "
        "go on by itself");
  } else if (code == kTargetNotMet) {
    log_info("the target is not met: {}", road.shortfall());
  }
  return code;
}

}  // namespace polyphase
