// SPDX-License-Identifier: Apache-2.0
#include "train/phase_checkpoint.hpp"

#include <algorithm>
#include <sstream>
#include <system_error>

#include "base/log.hpp"
#include "comm/agreement.hpp"
#include "io/checkpoint.hpp"
#include "recipe/load.hpp"
#include "train/phase_hand_over.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

// Complete checkpoints, newest first. Rank 0 looks, so that all ranks see the same ones.
std::vector<fs::path> newest_first(const Communicator& world, const fs::path& folder) {
  const std::string list = from_rank_0(world, [&] {
    std::string lines;
    std::int64_t newest = -1;
    for (const CheckpointEntry& entry : find_checkpoints(folder)) {
      lines = entry.folder.string() + "\n" + lines;
      newest = entry.step;
    }
    for (const std::string& words : unusable_checkpoints(folder, newest)) log_warning("{}", words);
    return lines;
  });
  std::vector<fs::path> folders;
  std::istringstream lines(list);
  for (std::string line; std::getline(lines, line);) folders.emplace_back(line);
  return folders;
}

// Likewise, the result of a phase.
fs::path shared_result(const Communicator& world, const fs::path& phase_folder) {
  return from_rank_0(world, [&] { return result_checkpoint(phase_folder).string(); });
}

nlohmann::json state_of_data(const PhaseCorpus& corpus) {
  return {{"tokenizer", corpus.tokenizer_digest()},
          {"content", corpus.content_digest()},
          {"vocab_size", corpus.phase_data().vocab_size},
          {"label_names", corpus.phase_data().label_names}};
}

void require_same(const nlohmann::json& before, const nlohmann::json& now, const fs::path& folder,
                  const std::string& what) {
  if (before == now) return;
  fail<RecipeError>(
      "{}: {} changed since this checkpoint was written; bring the files back as they were, or "
      "begin a new run (--set run_dir=…)",
      folder.string(), what);
}

PhaseState load(const fs::path& folder, const PhaseCorpus& corpus, ParameterSet& parameters,
                const Optimizer& optimizer, WeightAverage* average) {
  const nlohmann::json json = CheckpointReader(folder).state();
  PhaseState state;
  nlohmann::json data;
  try {
    json.at("data").get_to(data);
    json.at("phase_state").get_to(state);
  } catch (const nlohmann::json::exception& error) {
    fail<DataError>(
        "{}: its state is not that of a phase ({}); was another program's version here?",
        folder.string(), error.what());
  }
  require_same(data, state_of_data(corpus), folder, "the corpus " + corpus.name());
  state.lineage = lineage_of_checkpoint(folder);
  state.lineage.step = 0;  // each checkpoint to come has its own
  state.lineage.digest.clear();
  load_checkpoint(folder, parameters, optimizer, average);
  return state;
}

// Out of the way of the checkpoints to come, and there for whoever wants to know what happened.
void set_aside(const fs::path& folder) {
  fs::path aside = folder.string() + ".damaged";
  for (int number = 2; fs::exists(aside); ++number) {
    aside = fmt::format("{}.damaged-{}", folder.string(), number);
  }
  std::error_code error;
  fs::rename(folder, aside, error);
  if (error) {
    fail<SystemError>("{}: cannot be renamed to {}: {}; move it away by hand", folder.string(),
                      aside.filename().string(), error.message());
  }
  log_warning("{} is damaged: set aside as {}", folder.string(), aside.filename().string());
}

// The phase is trained by this program from now on.
void add_version(Lineage& lineage, const std::string& version) {
  if (lineage.versions.empty() || lineage.versions.back() != version)
    lineage.versions.push_back(version);
}

Lineage new_lineage(const PhaseJob& job, const PhaseCorpus& corpus) {
  Lineage lineage = lineage_of(job);
  lineage.tokenizer = corpus.tokenizer_digest();
  lineage.corpora = corpus.corpus_digests();
  lineage.made = corpus.made();
  return lineage;
}

}  // namespace

Lineage lineage_of(const PhaseJob& job) {
  Lineage lineage;
  lineage.run = job.run.name;
  lineage.round = job.run.round;
  lineage.phase = phase_of(job).name;
  lineage.seed = job.recipe.seed;
  lineage.versions = {job.run.version};
  lineage.changes = job.run.changes;
  return lineage;
}

PhaseStart start_phase(const PhaseJob& job, const PhaseCorpus& corpus, ParameterSet& parameters,
                       Optimizer& optimizer, WeightAverage* average) {
  const std::string& name = phase_of(job).name;
  std::vector<fs::path> damaged;
  std::string faults;
  for (const fs::path& folder : newest_first(job.world, checkpoints_of(job.folder))) {
    try {
      PhaseStart start = {.state = {}, .resumed = true};
      agree_on(job.world,
               [&] { start.state = load(folder, corpus, parameters, optimizer, average); });
      agree_on(job.world, [&] {
        for (const fs::path& other : damaged) {
          if (job.world.rank() == 0) set_aside(other);
        }
      });
      optimizer.go_on_from(parameters, start.state.hand_over.kept_updates,
                           start.state.hand_over.square_updates);
      add_version(start.state.lineage, job.run.version);
      log_info("{}: going on from step {}", name, start.state.step);
      return start;
    } catch (const AgreedError& error) {
      if (error.code != ExitCode::kData) throw;
      if (job.world.rank() == 0) log_warning("{}", error.what());
      damaged.push_back(folder);
      faults += (faults.empty() ? "" : "\n") + std::string(error.what());
    }
  }
  if (!damaged.empty()) {
    throw AgreedError(
        fmt::format("{}\nno checkpoint of phase {} is whole; remove the folder {} to train the "
                    "phase from its start",
                    faults, name, job.folder.string()),
        ExitCode::kData);
  }
  PhaseStart start;
  start.state.lineage = new_lineage(job, corpus);
  parameters.initialise(job.recipe.seed, job.recipe.model.init_std);
  if (job.from) take_over_model(job, corpus, parameters, optimizer, start.state);
  if (average != nullptr) average->start(parameters);
  return start;
}

void load_result(const PhaseJob& job, ParameterSet& parameters) {
  const fs::path result = shared_result(job.world, job.folder);
  agree_on(job.world, [&] {
    try {
      take_over(result, parameters);
    } catch (const DataError& error) {
      fail<DataError>(
          "{}\nthis is the result of phase {}: remove the folder {} to train the phase again",
          error.what(), phase_of(job).name, job.folder.string());
    }
  });
}

void begin_to_save_phase(CheckpointWriter& writer, const PhaseJob& job, const PhaseCorpus& corpus,
                         const PhaseState& state, const ParameterSet& parameters,
                         const Optimizer& optimizer, const WeightAverage* average) {
  const nlohmann::json json = {{"phase", phase_of(job).name},
                               {"recipe_hash", recipe::recipe_hash(job.recipe)},
                               {"phase_hash", recipe::phase_hash(job.recipe, job.phase_number)},
                               {"data", state_of_data(corpus)},
                               {"layout",
                                {{"tensor", job.grid.tensor.size()},
                                 {"pipeline", job.grid.pipeline.size()},
                                 {"data", job.grid.data.size()}}},
                               {"lineage", state.lineage},
                               {"phase_state", state}};
  writer.begin(state.step, json, parameters, optimizer, average, kept_steps(state));
}

}  // namespace polyphase
