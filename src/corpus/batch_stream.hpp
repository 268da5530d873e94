// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "corpus/batch.hpp"
#include "corpus/batch_sizes.hpp"
#include "corpus/dataset.hpp"
#include "corpus/sample.hpp"
#include "corpus/training_samples.hpp"

namespace polyphase {

// How data ranks deal micro-batches among them: micro-batch i of rank r of R, of which each has n,
// is number r · n + i of all (blocks) or i · R + r (in turn).
enum class Dealing { kBlocks, kInTurn };

// The number within a step of micro-batch `i` of those that `rank` computes, n in all.
constexpr std::int64_t micro_batch_number(Dealing dealing, std::int64_t rank,
                                          std::int64_t num_ranks, std::int64_t i, std::int64_t n) {
  return dealing == Dealing::kBlocks ? rank * n + i : i * num_ranks + rank;
}

// The training samples of one phase as one data rank sees them.
struct StreamSettings {
  SampleSettings sample;
  BatchSizes sizes;              // sequences of a step, whole job
  std::int64_t micro_batch = 0;  // sequences; 0: of a step / num_data_ranks, rounded up
  int data_rank = 0;
  int num_data_ranks = 1;
  Dealing dealing = Dealing::kBlocks;
  std::int64_t first_step = 0;  // steps done before: sizes.before(first_step) samples consumed
  std::optional<double> temperature;  // of the mixture
  CurriculumSettings curriculum;
  std::int64_t queue_steps = 3;  // steps built ahead: bounds the memory of the stream
};

// What one data rank computes in one step.
struct StepBatches {
  std::int64_t step = 0;             // counted from 0, over the whole phase
  double epoch = 0;                  // samples consumed after this step / samples of an epoch
  std::vector<Batch> micro_batches;  // this rank's, in the order of the whole step's micro-batches
  std::int64_t num_truncated = 0;    // of this rank's samples, those cut at max_tokens
  std::vector<TrainingSamples::Choice> samples;  // this rank's, in order
};

// Batches of a phase in order, built ahead by one reader thread. Global sample g = samples of all
// steps before + place in the step says which sample of which corpus it is
// (corpus/training_samples.hpp): a function of the settings, the same on any number of ranks and
// from any first step. Micro-batch m of a step holds places [m·micro, (m+1)·micro); of the M
// micro-batches data rank r of R owns the block [r·M/R, (r+1)·M/R), or every R-th from r on.
class BatchStream {
 public:
  BatchStream(const std::vector<TrainingSource>& sources, const StreamSettings& settings);
  // All samples of one corpus.
  BatchStream(std::shared_ptr<Dataset> dataset, const StreamSettings& settings);
  ~BatchStream();  // stops the reader thread, whatever it is doing, within one sample's time
  BatchStream(const BatchStream&) = delete;
  BatchStream& operator=(const BatchStream&) = delete;

  // Waits for the next step. An exception of the reader thread is thrown here, at the step it
  // belongs to.
  StepBatches next_step();

  std::int64_t samples_per_epoch() const;
  // By corpus: its share of the mixture in whole samples, and its samples after all choices.
  std::vector<std::int64_t> quotas() const;
  std::vector<std::int64_t> num_samples() const;
  std::int64_t steps_of_epochs(std::int64_t epochs) const;  // until so many are consumed

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct EvaluationSettings {
  SampleSettings sample;  // `evaluation` is set by the stream: masks are the same every time
  std::int64_t micro_batch = 16;  // sequences
  int data_rank = 0;
  int num_data_ranks = 1;
  std::int64_t max_samples = 0;  // 0: all; else an even keyed choice
};

// One micro-batch of an evaluation. `number` is its place in the whole evaluation, the same for any
// number of ranks: add sums in the order of numbers, and the total has the same bits on any layout.
struct EvaluationBatch {
  Batch batch;  // with zero sequences and zero rows where this rank has run out and another has not
  std::int64_t number = 0;
  std::int64_t num_truncated = 0;  // of its samples, those cut at max_tokens
};

// Every sample of a split once in each kind of the settings, one kind behind the other, in the
// order of the index. Micro-batch b goes to data rank b mod R; every rank gets the same number of
// batches, so that collectives meet. Reads ahead as BatchStream does.
class EvaluationStream {
 public:
  EvaluationStream(std::shared_ptr<Dataset> dataset, const EvaluationSettings& settings);
  ~EvaluationStream();
  EvaluationStream(const EvaluationStream&) = delete;
  EvaluationStream& operator=(const EvaluationStream&) = delete;

  std::optional<EvaluationBatch> next();  // empty when all is read
  std::int64_t num_batches() const;       // of this rank, which is that of every rank
  std::int64_t num_samples() const;       // whole job, of one kind

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace polyphase
