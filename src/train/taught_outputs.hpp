// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "corpus/batch_stream.hpp"
#include "io/kept_outputs.hpp"
#include "train/phase.hpp"
#include "train/phase_data.hpp"
#include "train/teacher.hpp"

namespace polyphase {

// What a phase's teacher says of all samples of the training parts, asked once: a file for each
// corpus in the run's data (io/kept_outputs.hpp), which serves every phase that learns from the
// same checkpoint in the same precision, micro-batches and parts, with texts cut at the same
// length.
class TaughtOutputs {
 public:
  // Reads the files, and makes those that are not there; only then is the teacher's model loaded.
  // Collective, errors are agreed. Empty when a stop was asked for meanwhile.
  static std::optional<TaughtOutputs> read_or_make(const PhaseJob& job, const PhaseCorpus& corpus,
                                                   const FoundTeacher& teacher);

  // Gives every micro-batch the outputs of its samples.
  void attach(StepBatches& batches) const;

 private:
  std::vector<KeptOutputs> corpora_;
};

// Numbers a sample that the head of a task gives with so many labels.
std::int64_t num_outputs_of(const recipe::Task& task, std::int64_t num_labels);

}  // namespace polyphase
