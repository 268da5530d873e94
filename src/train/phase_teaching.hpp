// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "train/phase_checkpoint.hpp"
#include "train/taught_outputs.hpp"
#include "train/teacher.hpp"

namespace polyphase {

// Where a phase's model learns from besides its labels: a teacher that goes along, or what one was
// asked beforehand, which is gone when the phase takes its memory.
class PhaseTeaching {
 public:
  // Finds the teacher, asks it if that is to be done, and has the model learn from it. Collective;
  // errors are agreed: those of find_teacher(), Teacher and TaughtOutputs.
  PhaseTeaching(const PhaseJob& job, const PhaseCorpus& corpus, PhaseModel& model);

  // A stop was asked for while the teacher was asked: there is nothing to learn from.
  bool was_stopped() const { return was_stopped_; }
  // Notes in the phase's lineage who teaches. RecipeError on all ranks when a phase that goes on
  // has learnt from another teacher before.
  void note(const PhaseJob& job, const PhaseStart& start, Lineage& lineage) const;
  // Gives micro-batches what was said of their samples.
  void attach(StepBatches& batches) const;

 private:
  std::shared_ptr<const Lineage> taught_by_;
  std::optional<Teacher> along_;
  std::optional<TaughtOutputs> said_;
  bool was_stopped_ = false;
};

}  // namespace polyphase
