// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/session.hpp"
#include "recipe/recipe.hpp"
#include "text/tokenizer.hpp"
#include "train/evaluate.hpp"
#include "train/phase_data.hpp"
#include "train/phase_model.hpp"

namespace polyphase {

// Which model of a run to use.
struct TrainedPhaseChoice {
  std::filesystem::path run;  // the run's folder
  std::string phase;          // empty: of a run with rounds the target's, else the last one done
  std::int64_t tensor = 0;    // ranks that share one copy of the model; 0: the recipe's
  std::int64_t round = 0;     // whose model it is; 0: the best one's, else the newest that has it
  std::string folder;         // instead of all these: the phase's own, below the run's
  // Of further runs the same phase joins, and predictions and metrics are of the mean of all: of
  // the probabilities of classes or labels, or of numbers.
  std::vector<std::filesystem::path> more_runs = {};
};

// What the run's files say of that phase.
struct FoundPhase {
  std::string recipe;  // of its round, resolved
  std::string phase;
  std::string checkpoint;  // that is its result
};

// Looks it up; reads no tensor. RecipeError for a folder that is no run, and a phase that it does
// not have or that has no checkpoint.
FoundPhase find_trained_phase(const TrainedPhaseChoice& choice);

// A phase of a run folder with its model as its result has it (train/phase_result.hpp), for
// evaluation and prediction on any layout of ranks. Reads the folder only: no lock is taken and
// nothing is written.
class TrainedPhase {
 public:
  // Collective over all ranks; errors are agreed. RecipeError for a folder that is no run, a phase
  // that it does not have or that is not trained yet, ranks that parallel.tensor does not divide,
  // a corpus or tokenizer that changed since, and further runs whose phase has another task,
  // labels, tokenizer or family; DataError for a checkpoint that is damaged or lacks a parameter.
  TrainedPhase(const TrainedPhaseChoice& choice, const Communicator& world);
  TrainedPhase(const TrainedPhase&) = delete;  // its parts refer to each other
  TrainedPhase& operator=(const TrainedPhase&) = delete;

  const recipe::Recipe& recipe() const { return recipe_; }
  const recipe::Phase& phase() const { return recipe_.phases[phase_number_]; }
  const PhaseCorpus& corpus() const { return *corpus_; }
  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  PhaseModel& model() { return *model_; }
  const RankGrid& grid() const { return *grid_; }
  const std::filesystem::path& checkpoint() const { return checkpoint_; }
  // How its samples are made.
  SampleSettings sample_settings() const;

  // Of all models: what the task says of each sequence (PhaseModel::predict), and how micro-batches
  // are evaluated.
  std::int64_t num_models() const { return 1 + std::ssize(others_); }
  std::vector<Prediction> predict(const Batch& batch);
  BatchTallies evaluation();

  // Makes room for passes without gradients over up to so many sequences of max_tokens.
  void allow_sequences(std::int64_t num_sequences);

 private:
  void open_corpus(const std::string& data_dir);
  void load(const Communicator& world);

  recipe::Recipe recipe_;
  std::size_t phase_number_ = 0;
  std::filesystem::path checkpoint_;
  std::optional<RankGrid> grid_;
  std::optional<PhaseCorpus> corpus_;
  std::optional<text::Tokenizer> tokenizer_;
  std::unique_ptr<PhaseModel> model_;
  std::vector<std::unique_ptr<TrainedPhase>> others_;
};

}  // namespace polyphase
