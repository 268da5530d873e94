// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "io/lineage.hpp"
#include "train/phase.hpp"
#include "train/phase_data.hpp"
#include "train/phase_model.hpp"

namespace polyphase {

// The checkpoint that is a teacher's result.
struct FoundTeacher {
  std::filesystem::path checkpoint;
  Lineage lineage;  // what made it, with step and digest
};

// Collective; errors are agreed: DataError when there is none, RecipeError when it is not the one
// that was wanted, or its tokenizer or labels are not those of this phase.
FoundTeacher find_teacher(const PhaseJob& job, const PhaseCorpus& corpus);

// The model of the finished phase that a phase learns from, without gradients or optimizer. Of
// another run it is what that run's recipe says, in this run's precision and on its ranks.
class Teacher {
 public:
  // Reads the checkpoint. `pipeline`: the job's stages, or nullptr for the whole model on each of
  // them. Collective; errors are agreed: DataError when it is damaged.
  Teacher(const PhaseJob& job, const PhaseCorpus& corpus, const FoundTeacher& found,
          const Communicator* pipeline);

  PhaseModel& model() { return *model_; }

 private:
  recipe::Recipe recipe_;
  std::unique_ptr<PhaseModel> model_;
};

}  // namespace polyphase
