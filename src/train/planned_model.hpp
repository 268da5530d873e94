// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "train/phase_model.hpp"

namespace polyphase {

// Labels that a corpus which is not opened counts as having.
inline constexpr int kAssumedLabels = 64;

// A phase's model before any corpus is opened, with all parameters declared and no memory behind
// them: the vocabulary is as large as the recipe asks for.
std::unique_ptr<PhaseModel> planned_model(const recipe::Recipe& recipe, const recipe::Phase& phase,
                                          const Communicator& tensor,
                                          const Communicator* pipeline = nullptr);

// Likewise the teacher of a phase that learns; of another run it is described by that run's recipe
// and phase. One that is asked beforehand is whole on every stage.
std::unique_ptr<PhaseModel> planned_teacher(const recipe::Recipe& recipe,
                                            const recipe::Phase& phase, const Communicator& tensor,
                                            const Communicator& pipeline,
                                            const recipe::Recipe* teacher_recipe,
                                            const recipe::Phase* teacher_phase);

// Stages of the pipeline that a plan looks at, each with how many are like it, itself among them:
// neighbours between the first and the last that have as many layers in each of their chunks. The
// first of them keeps the most. Where stages may differ in anything else, it is all of them.
struct StagesAlike {
  int first = 0, count = 1;
};
std::vector<StagesAlike> stages_that_differ(const recipe::Recipe& recipe,
                                            const recipe::Phase& phase);

}  // namespace polyphase
