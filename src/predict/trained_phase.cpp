// SPDX-License-Identifier: Apache-2.0
#include "predict/trained_phase.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>

#include "comm/agreement.hpp"
#include "corpus/prepare_tokenizer.hpp"
#include "io/checkpoint.hpp"
#include "recipe/goals.hpp"
#include "recipe/load.hpp"
#include "report/run_state.hpp"
#include "train/checkpointing.hpp"
#include "train/largest_batch.hpp"
#include "train/phase_result.hpp"

namespace polyphase {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(FoundPhase, recipe, phase, checkpoint)

namespace {

namespace fs = std::filesystem;

std::string names_of(const std::vector<report::PhaseState>& phases) {
  std::vector<std::string> words;
  for (const report::PhaseState& phase : phases)
    words.push_back(fmt::format("{} ({})", phase.name, phase.state));
  return fmt::format("{}", fmt::join(words, ", "));
}

// Where the phase lies in the round that is asked for, else in the best one; empty when the run has
// no such round, or the round no such phase.
std::string folder_in_round(const report::RunState& run, const TrainedPhaseChoice& choice) {
  const bool any = choice.round == 0;
  const report::RoundState* round =
      report::find_round(run.rounds, any ? run.rounds.best : choice.round);
  if (round == nullptr) return "";
  const auto folder = round->folders.find(choice.phase.empty() ? run.rounds.phase : choice.phase);
  return folder == round->folders.end() ? "" : folder->second;
}

// The phase that is named, else the last one that is done.
const report::PhaseState& chosen_phase(const report::RunState& run,
                                       const TrainedPhaseChoice& choice) {
  const std::string folder = choice.folder.empty() ? folder_in_round(run, choice) : choice.folder;
  for (const report::PhaseState& phase : run.phases) {
    if (!folder.empty() && phase.folder == folder) return phase;
  }
  if (choice.round != 0) {
    fail<RecipeError>("--round {}: the run {} has no such round with that phase; it has {} rounds",
                      choice.round, choice.run.string(), run.rounds.rounds.size());
  }
  for (auto phase = run.phases.rbegin(); phase != run.phases.rend(); ++phase) {
    const bool fits = choice.phase.empty() ? phase->state == "done" && phase->trains()
                                           : phase->name == choice.phase;
    if (fits) return *phase;
  }
  if (choice.phase.empty()) {
    fail<RecipeError>(
        "{}: no phase is done yet; it has {}; train one first, or name one that has "
        "a checkpoint with --phase",
        choice.run.string(), names_of(run.phases));
  }
  fail<RecipeError>("--phase {}: the run {} has no such phase; it has {}", choice.phase,
                    choice.run.string(), names_of(run.phases));
}

FoundPhase shared_find(const TrainedPhaseChoice& choice, const Communicator& world) {
  const std::string text =
      from_rank_0(world, [&] { return nlohmann::json(find_trained_phase(choice)).dump(); });
  return nlohmann::json::parse(text).get<FoundPhase>();
}

// Batches of a training step do not matter here: only what the model itself must be divided by.
void check_split(recipe::Recipe model_alone, std::int64_t num_ranks) {
  const std::int64_t tensor = model_alone.parallel.tensor;
  if (num_ranks % tensor != 0) {
    fail<RecipeError>(
        "{} tensor-parallel ranks do not divide a job of {}; give another number "
        "with --tensor (1 always fits), or start more ranks",
        tensor, num_ranks);
  }
  model_alone.phases.clear();
  recipe::check_layout(model_alone, num_ranks);
}

template <class T>
void require_same(const nlohmann::json& before, const T& now, const char* key, const char* what,
                  const fs::path& checkpoint) {
  const auto found = before.find(key);
  if (found == before.end()) {
    fail<DataError>("{}: its state is not that of a phase (it has no {})", checkpoint.string(),
                    key);
  }
  if (*found == nlohmann::json(now)) return;
  fail<RecipeError>(
      "{}: {} changed since this checkpoint was written; bring the prepared data "
      "back as it was, or train anew",
      checkpoint.string(), what);
}

// That a mean of what both say means something, and that they read the same batches.
void require_alike(const TrainedPhase& one, const TrainedPhase& other) {
  const recipe::Recipe &a = one.recipe(), &b = other.recipe();
  const auto is_mean = [](const recipe::Phase& phase) {
    return phase.task && (phase.task->kind == recipe::TaskKind::kClassification ||
                          phase.task->kind == recipe::TaskKind::kMultiLabel ||
                          phase.task->kind == recipe::TaskKind::kRegression);
  };
  if (!is_mean(one.phase())) {
    fail<RecipeError>(
        "phase {} is {}: several models have a mean for classification, multi_label and regression "
        "alone; name one run",
        one.phase().name, recipe::goal_name(one.phase()));
  }
  const auto require = [&](bool same, const char* what) {
    if (same) return;
    fail<RecipeError>("{} has {} than {}: they have no mean; name runs that are alike",
                      other.checkpoint().string(), what, one.checkpoint().string());
  };
  require(is_mean(other.phase()) && one.phase().task->kind == other.phase().task->kind,
          "another task");
  require(one.corpus().phase_data().label_names == other.corpus().phase_data().label_names,
          "other labels");
  require(one.tokenizer().digest() == other.tokenizer().digest(), "another tokenizer");
  require(a.model.family == b.model.family && a.model.matches == b.model.matches &&
              recipe::max_tokens_of(a, one.phase()) == recipe::max_tokens_of(b, other.phase()),
          "another family, max_tokens or model.matches");
}

}  // namespace

FoundPhase find_trained_phase(const TrainedPhaseChoice& choice) {
  const fs::path recipe_file = choice.run / "recipe.yaml";
  std::error_code error;
  if (!fs::exists(recipe_file, error)) {
    fail<RecipeError>(
        "{}: not the folder of a run (it has no recipe.yaml); give the run_dir of a "
        "recipe that was trained",
        choice.run.string());
  }
  const report::RunState run = report::read_run_state(choice.run);
  const report::PhaseState& phase = chosen_phase(run, choice);
  if (!phase.trains()) {
    fail<RecipeError>("{}: phase {} makes a corpus and has no model; name {}, whose model makes it",
                      choice.run.string(), phase.name, phase.from);
  }
  const fs::path of_round = choice.run / fmt::format("round-{}", phase.round) / "recipe.yaml";
  const recipe::Recipe recipe =
      recipe::load((fs::exists(of_round, error) ? of_round : recipe_file).string());
  const fs::path result = result_checkpoint(choice.run / phase.folder);
  if (result.empty()) {
    fail<RecipeError>("{}: phase {} is {} and has no complete checkpoint in {}; train it first",
                      choice.run.string(), phase.name, phase.state,
                      checkpoints_of(choice.run / phase.folder).string());
  }
  return {.recipe = recipe::resolved(recipe), .phase = phase.name, .checkpoint = result.string()};
}

TrainedPhase::TrainedPhase(const TrainedPhaseChoice& choice, const Communicator& world) {
  const FoundPhase found = shared_find(choice, world);
  checkpoint_ = found.checkpoint;
  recipe_ = recipe::parse(found.recipe, (choice.run / "recipe.yaml").string());
  if (choice.tensor > 0) recipe_.parallel.tensor = choice.tensor;
  recipe_.parallel.pipeline = recipe_.parallel.interleave = 1;  // of training alone
  agree_on(world, [&] { check_split(recipe_, world.size()); });
  grid_.emplace(make_grid(world, static_cast<int>(recipe_.parallel.tensor)));
  agree_on(world, [&] {
    const recipe::Phase* phase = recipe::find_phase(recipe_, found.phase);
    if (phase == nullptr) {
      fail<DataError>("{}: its status.json has a phase {} that its recipe has not",
                      choice.run.string(), found.phase);
    }
    phase_number_ = static_cast<std::size_t>(phase - recipe_.phases.data());
    open_corpus((choice.run / "data").string());
  });
  load(world);
  for (const fs::path& run : choice.more_runs) {
    TrainedPhaseChoice other = choice;
    other.run = run;
    other.phase = phase().name;
    other.tensor = recipe_.parallel.tensor;  // ranks share batches as the first model's do
    other.more_runs.clear();
    others_.push_back(std::make_unique<TrainedPhase>(other, world));
    agree_on(world, [&] { require_alike(*this, *others_.back()); });
  }
}

void TrainedPhase::open_corpus(const std::string& data_dir) {
  corpus_.emplace(recipe_, phase(), data_dir, CorpusUse::kEvaluation);
  tokenizer_.emplace(prepare::load_tokenizer(data_dir));
  if (tokenizer_->digest() != corpus_->tokenizer_digest()) {
    fail<DataError>(
        "{}: the tokenizer is not the one that the corpus {} was prepared with; "
        "prepare again",
        data_dir, corpus_->name());
  }
}

void TrainedPhase::load(const Communicator& world) {
  model_ = make_phase_model(recipe_, phase(), corpus_->phase_data(), grid_->tensor);
  model_->parameters().allocate();
  agree_on(world, [&] {
    const nlohmann::json state = CheckpointReader(checkpoint_).state();
    const nlohmann::json data = state.value("data", nlohmann::json::object());
    require_same(data, corpus_->tokenizer_digest(), "tokenizer", "the tokenizer", checkpoint_);
    require_same(data, corpus_->phase_data().label_names, "label_names", "the corpus' labels",
                 checkpoint_);
    const HandOver loaded = take_over(checkpoint_, model_->parameters());
    if (loaded.fresh.empty()) return;
    fail<DataError>(
        "{}: lacks {} of the model's {} parameters, or has them in another shape ({}); "
        "the run's recipe.yaml was changed, or this is another run's checkpoint",
        checkpoint_.string(), loaded.fresh.size(), model_->parameters().all().size(),
        loaded.fresh.front());
  });
}

std::vector<Prediction> TrainedPhase::predict(const Batch& batch) {
  std::vector<Prediction> mean = model_->predict(batch);
  if (others_.empty()) return mean;
  for (const auto& other : others_) {
    const std::vector<Prediction> more = other->model_->predict(batch);
    for (std::size_t b = 0; b < mean.size(); ++b) {
      mean[b].value += more[b].value;
      for (std::size_t k = 0; k < mean[b].probabilities_K.size(); ++k)
        mean[b].probabilities_K[k] += more[b].probabilities_K[k];
    }
  }
  const auto count = static_cast<double>(num_models());
  for (Prediction& prediction : mean) {
    prediction.value /= count;
    for (double& probability : prediction.probabilities_K) probability /= count;
  }
  return mean;
}

BatchTallies TrainedPhase::evaluation() {
  if (others_.empty()) return tallies_by(*model_);
  return [this](std::span<const Batch> batches) {
    std::vector<std::vector<Tally>> all;
    for (const Batch& batch : batches) {
      all.emplace_back(1);
      if (batch.num_sequences() > 0) all.back() = {model_->judge(predict(batch), batch)};
    }
    return all;
  };
}

SampleSettings TrainedPhase::sample_settings() const {
  return corpus_->sample_settings(phase_key(phase().name));
}

void TrainedPhase::allow_sequences(std::int64_t num_sequences) {
  const Batch largest =
      largest_batch(recipe_, phase(), num_sequences,
                    static_cast<std::int64_t>(corpus_->phase_data().label_names.size()));
  model_->allocate_arena(model_->plan_arena_bytes(largest, false));
  for (const auto& other : others_) other->allow_sequences(num_sequences);
}

}  // namespace polyphase
