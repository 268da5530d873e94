// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "train/phase.hpp"
#include "train/phase_checkpoint.hpp"
#include "train/phase_data.hpp"
#include "train/phase_model.hpp"

namespace polyphase {

// The model of the finished phase that a phase learns from, without gradients or optimizer.
class Teacher {
 public:
  // Reads the checkpoint that is the teacher's result. Collective; errors are agreed: DataError
  // when there is none, or it is damaged, RecipeError when its tokenizer or labels are not those of
  // this phase.
  Teacher(const PhaseJob& job, const PhaseCorpus& corpus);

  PhaseModel& model() { return *model_; }
  // Name of its phase, its checkpoint and a digest of its parameters: what the student's
  // checkpoints say of where they come from.
  const std::string& origin() const { return origin_; }

 private:
  void load(const PhaseJob& job, const PhaseCorpus& corpus, const std::string& name);

  std::unique_ptr<PhaseModel> model_;
  std::string origin_;
};

// RecipeError on all ranks when a phase that goes on has learnt from another teacher before.
void require_same_teacher(const PhaseJob& job, const PhaseStart& start, const std::string& origin);

}  // namespace polyphase
