// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "corpus/batch_sizes.hpp"
#include "corpus/curriculum.hpp"
#include "corpus/dataset.hpp"
#include "corpus/mixture.hpp"
#include "corpus/sample.hpp"
#include "corpus/sample_order.hpp"

namespace polyphase {

// Which samples of a training part are trained on, in this order of choices.
struct SampleChoice {
  std::int64_t max_of_corpus = 0;  // a keyed choice of so many (TrainingOrder); 0: all
  // Of these, those with so many tokens (Dataset::num_tokens_of_sample); 0: no bound.
  std::int64_t min_tokens = 0, max_tokens = 0;
  std::int64_t max_of_phase = 0;  // of these, as many as this, the first of the choice; 0: all
};

// One corpus of a phase.
struct TrainingSource {
  std::shared_ptr<Dataset> dataset;
  double weight = 1.0;
  SampleChoice choice;
};

// How the samples of a phase's corpora follow each other.
struct TrainingPlan {
  std::optional<double> temperature;
  CurriculumSettings curriculum;
  BatchSizes sizes;  // curricula go by steps
};

// The training samples of a phase: the global sample number says which sample of which corpus, and
// what it is like. A function of the settings and the number, and of nothing else.
//
// Each corpus is walked through in epochs of its own, by a count of its own samples. An epoch of
// the whole is as many samples as all corpora hold together: of a mixture some are then seen more
// than once and others not yet.
class TrainingSamples {
 public:
  // Reads the lengths of all samples where a filter or a curriculum wants them, and holds 8 bytes a
  // sample for each. Throws RecipeError when a filter leaves nothing, when a corpus' weight is too
  // small for one of kMixtureBlock samples, and what SampleMaker throws.
  TrainingSamples(const std::vector<TrainingSource>& sources, const SampleSettings& settings,
                  const TrainingPlan& plan);

  std::int64_t samples_per_epoch() const;
  // By corpus: its quota of a block, and its samples after all choices.
  const std::vector<std::int64_t>& quotas() const { return mixture_->quotas(); }
  std::int64_t num_samples(std::size_t corpus) const;

  struct Choice {
    std::size_t corpus = 0;
    std::int64_t sample = 0;  // of the corpus
    std::int64_t epoch = 0;   // of the corpus
  };
  Choice at(std::int64_t global_sample);
  Choice make(std::int64_t global_sample, Sample& result);  // which one it is

 private:
  struct Walk;
  void add_walk(const TrainingSource& source, const SampleSettings& settings);

  TrainingPlan plan_;
  std::vector<std::shared_ptr<Walk>> walks_;  // one a corpus
  std::optional<Mixture> mixture_;
};

}  // namespace polyphase
