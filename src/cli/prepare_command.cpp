// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"
#include "cli/other_runs.hpp"
#include "cli/shared_recipe.hpp"
#include "comm/agreement.hpp"
#include "control/run_folder.hpp"
#include "control/starts.hpp"
#include "corpus/prepare.hpp"
#include "corpus/prepare_tokenizer.hpp"
#include "io/made_corpus.hpp"
#include "recipe/load.hpp"
#include "recipe/search.hpp"
#include "recipe/variants.hpp"
#include "train/pattern_check.hpp"
#include "train/stop_request.hpp"

namespace polyphase {

namespace {

std::filesystem::path data_dir_of(const recipe::Recipe& recipe) {
  return run_folder_of(recipe) / "data";
}

void check_extent(const recipe::Recipe& recipe, std::int64_t num_ranks, const Extent& extent) {
  if (!extent.trains) return check_other_runs(recipe, recipe.parallel.ranks_of_copy());
  const recipe::Phase* only = recipe::find_phase(recipe, extent.phase);
  if (only != nullptr) {
    recipe::Recipe alone = recipe;
    alone.iterate.reset();
    alone.phases = {*only};
    recipe::check_layout(alone, num_ranks);
    recipe::check_strategy_layouts(recipe, num_ranks, only->name);
    return check_other_runs(alone, num_ranks);
  }
  recipe::check_layout(recipe, num_ranks);
  recipe::check_strategy_layouts(recipe, num_ranks);
  check_other_runs(recipe, num_ranks);
}

void log_parts(const PrepareSummary& summary) {
  for (const PreparedPart& part : summary.parts) {
    log_info("corpus {} ({}): {} documents, {} sentences, {} tokens in {} shards", part.corpus,
             part.part, part.num_documents, part.num_sentences, part.num_tokens, part.num_shards);
  }
}

}  // namespace

void check_given_files(recipe::Recipe recipe) {
  if (has_taken_tokenizer(recipe, data_dir_of(recipe))) recipe.tokenizer.model.clear();
  recipe::check_files(recipe);
}

recipe::Recipe shared_recipe(const RecipeOptions& options, const Communicator& world,
                             const Extent& extent) {
  const std::string text = from_rank_0(world, [&] {
    recipe::Recipe recipe = recipe::load(options.file, options.overrides);
    check_extent(recipe, world.size(), extent);
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
  // Hashes are of the recipe as written, wherever its folder lies.
  recipe::Recipe absolute = recipe::without_made_corpora(recipe);
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
  log_parts(summary);
  return true;
}

void prepare_made_corpora(const recipe::Recipe& recipe,
                          const std::map<std::string, std::filesystem::path>& folders,
                          const std::string& data_dir, const Communicator& world) {
  const std::string records = from_rank_0(world, [&] {
    nlohmann::json all;
    for (const auto& [name, folder] : folders) {
      const std::optional<Lineage> record = read_made_corpus(folder);
      if (!record) {
        fail<DataError>(
            "{} does not hold the whole corpus {}; remove that folder, and the same command makes "
            "it again",
            folder.string(), name);
      }
      all[name] = *record;
    }
    return all.dump();
  });
  recipe::Recipe made = recipe;
  std::erase_if(made.corpora,
                [&](const recipe::Corpus& corpus) { return !folders.contains(corpus.name); });
  for (recipe::Corpus& corpus : made.corpora) {
    corpus.made_by.clear();
    corpus.format = CorpusFormat::kJsonl;
    corpus.train = {std::filesystem::absolute(folders.at(corpus.name) / kPairsFile).string()};
    corpus.bad_lines = BadLines::kSkip;  // texts of which nothing was made
  }
  Preparation preparation(
      made, {.data_dir = data_dir,
             .rank = world.rank(),
             .num_ranks = world.size(),
             .takes_tokenizer = true,
             .made = nlohmann::json::parse(records).get<std::map<std::string, nlohmann::json>>()});
  for (const PrepareStage stage : kPrepareStages)
    agree_on(world, [&] { preparation.run_stage(stage); });
  if (world.rank() == 0) log_parts(preparation.summary());
}

ExitCode prepare_command(const RecipeOptions& options, const Communicator& world) {
  const recipe::Recipe recipe = shared_recipe(options, world, {.trains = false, .phase = ""});
  StopRequest stop(recipe.limits.wall_time_seconds);
  std::unique_ptr<RunLock> lock;  // not beside a run that reads what this writes
  std::optional<StartRecord> start;
  const std::string refusal = from_rank_0(world, [&] {
    lock = lock_run_folder(run_folder_of(recipe));
    start.emplace(run_folder_of(recipe));
    return start->refusal();
  });
  if (!refusal.empty()) throw AgreedError(refusal, kNoProgress);
  const bool finished = prepare_corpora(recipe, data_dir_of(recipe).string(), world,
                                        [&] { return stop.agreed(world); });
  const ExitCode code = finished ? ExitCode::kDone : ExitCode::kInterrupted;
  const std::string told = from_rank_0(
      world, [&] { return fmt::format("{}", static_cast<int>(start->end(code, stop.reason()))); });
  return ExitCode{std::stoi(told)};
}

}  // namespace polyphase
