// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "train/phase.hpp"
#include "train/phase_checkpoint.hpp"
#include "train/phase_data.hpp"
#include "train/phase_model.hpp"

namespace polyphase {

// The model of the finished phase that a phase learns from, without gradients or optimizer. Of
// another run it is what that run's recipe says, in this run's precision and on its ranks.
class Teacher {
 public:
  // Reads the checkpoint that is the teacher's result. Collective; errors are agreed: DataError
  // when there is none, or it is damaged, RecipeError when it is not the one that was wanted, or
  // its tokenizer or labels are not those of this phase.
  Teacher(const PhaseJob& job, const PhaseCorpus& corpus);

  PhaseModel& model() { return *model_; }
  // What made its checkpoint, with step and digest.
  const Lineage& lineage() const { return lineage_; }

 private:
  void check(const PhaseJob& job, const PhaseCorpus& corpus);

  recipe::Recipe recipe_;
  std::filesystem::path checkpoint_;
  Lineage lineage_;
  std::unique_ptr<PhaseModel> model_;
};

// RecipeError on all ranks when a phase that goes on has learnt from another teacher before.
void require_same_teacher(const PhaseJob& job, const PhaseStart& start, const Lineage& teacher);

}  // namespace polyphase
