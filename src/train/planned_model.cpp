// SPDX-License-Identifier: Apache-2.0
#include "train/planned_model.hpp"

namespace polyphase {

std::unique_ptr<PhaseModel> planned_model(const recipe::Recipe& recipe, const recipe::Phase& phase,
                                          const Communicator& tensor,
                                          const Communicator* pipeline) {
  PhaseData data = {.vocab_size = recipe.tokenizer.vocab_size, .label_names = {}};
  if (phase.task) data.label_names.assign(kAssumedLabels, "O");
  recipe::Phase planned = phase;
  if (planned.task) planned.task->class_weights.clear();  // the classes are not known yet
  return make_phase_model(recipe, planned, data, tensor, pipeline);
}

}  // namespace polyphase
