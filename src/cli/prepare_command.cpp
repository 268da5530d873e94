// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"
#include "cli/other_runs.hpp"
#include "cli/shared_recipe.hpp"
#include "comm/agreement.hpp"
#include "control/run_folder.hpp"
#include "corpus/prepare.hpp"
#include "corpus/prepare_tokenizer.hpp"
#include "recipe/load.hpp"
#include "recipe/search.hpp"
#include "recipe/variants.hpp"
#include "train/pattern_check.hpp"

namespace polyphase {

namespace {

std::filesystem::path data_dir_of(const recipe::Recipe& recipe) {
  return run_folder_of(recipe) / "data";
}

void check_given_files(recipe::Recipe recipe) {
  if (has_taken_tokenizer(recipe, data_dir_of(recipe))) recipe.tokenizer.model.clear();
  recipe::check_files(recipe);
}

}  // namespace

recipe::Recipe shared_recipe(const RecipeOptions& options, const Communicator& world) {
  const std::string text = from_rank_0(world, [&] {
    recipe::Recipe recipe = recipe::load(options.file, options.overrides);
    recipe::check_layout(recipe, world.size());
    recipe::check_strategy_layouts(recipe, world.size());
    check_other_runs(recipe, world.size());
    check_given_files(recipe);
    const nlohmann::json all = {{"recipe", recipe::resolved(recipe)}, {"places", recipe.places}};
    return all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  });
  const nlohmann::json shared = nlohmann::json::parse(text);
  recipe::Recipe recipe = recipe::parse(shared.at("recipe"), options.file);
  shared.at("places").get_to(recipe.places);  // of the file rather than of its resolved text
  return recipe;
}

void check_all_patterns(const recipe::Recipe& recipe) {
  check_patterns(recipe);
  if (!recipe.iterate) return;
  for (const recipe::Strategy& strategy : recipe::all_strategies(recipe)) {
    try {
      check_patterns(recipe::variant_of(recipe, {.strategies = {strategy.name}, .gates = {}}));
    } catch (const RecipeError& error) {
      fail<RecipeError>("strategy \"{}\": {}", strategy.name, error.what());
    }
  }
}

bool prepare_corpora(const recipe::Recipe& recipe, const std::string& data_dir,
                     const Communicator& world, const std::function<bool()>& stop_is_wanted) {
  recipe::Recipe absolute =
      recipe;  // hashes are of the recipe as written, wherever its folder lies
  recipe::resolve(absolute);
  const std::string taken = from_rank_0(world, [&] {
    return has_taken_tokenizer(recipe, data_dir) ? prepare::tokenizer_path(data_dir).string() : "";
  });
  if (!taken.empty()) absolute.tokenizer.model = taken;
  Preparation preparation(absolute,
                          {.data_dir = data_dir, .rank = world.rank(), .num_ranks = world.size()});
  for (const PrepareStage stage : kPrepareStages) {
    if (stop_is_wanted()) return false;
    agree_on(world, [&] { preparation.run_stage(stage); });
    if (stage != PrepareStage::kTokenizer) continue;
    agree_on(world, [&] {
      if (world.rank() == 0) require_their_tokenizer(recipe, data_dir);
    });
  }
  const PrepareSummary& summary = preparation.summary();
  if (world.rank() != 0) return true;
  if (!summary.tokenizer_was_current) {
    log_info("tokenizer: {} pieces, trained in {:.1f} s", summary.vocab_size,
             summary.tokenizer_seconds);
  }
  if (summary.num_units_current < summary.num_units) {
    log_info("tokenized {} of {} pieces of text on rank 0, {:.0f} tokens/s a rank",
             summary.num_units - summary.num_units_current, summary.num_units,
             summary.tokens_per_second());
  }
  for (const PreparedPart& part : summary.parts) {
    log_info("corpus {} ({}): {} documents, {} sentences, {} tokens in {} shards", part.corpus,
             part.part, part.num_documents, part.num_sentences, part.num_tokens, part.num_shards);
  }
  return true;
}

ExitCode prepare_command(const RecipeOptions& options, const Communicator& world) {
  const recipe::Recipe recipe = shared_recipe(options, world);
  std::unique_ptr<RunLock> lock;  // not beside a run that reads what this writes
  agree_on(world, [&] {
    if (world.rank() == 0) lock = lock_run_folder(run_folder_of(recipe));
  });
  prepare_corpora(recipe, data_dir_of(recipe).string(), world, [] { return false; });
  return ExitCode::kDone;
}

}  // namespace polyphase
