// SPDX-License-Identifier: Apache-2.0
#include "train/planned_model.hpp"

#include "recipe/load.hpp"
#include "recipe/teacher_cuts.hpp"

namespace polyphase {
namespace {

// Layers of each chunk of a stage, of a model of one stack.
std::vector<std::int64_t> layers_of_stage(const recipe::Recipe& recipe, const recipe::Phase& phase,
                                          int number) {
  const PipelineStage stage = {.number = number,
                               .count = static_cast<int>(recipe.parallel.pipeline),
                               .num_own_chunks = static_cast<int>(recipe.parallel.interleave)};
  const std::int64_t num_layers = recipe::model_of(recipe, phase).num_layers;
  std::vector<std::int64_t> layers;
  for (int chunk = 0; chunk < stage.num_own_chunks; ++chunk)
    layers.push_back(split_evenly(num_layers, stage.chunk(chunk), stage.num_chunks()).size);
  return layers;
}

std::unique_ptr<PhaseModel> planned(const recipe::Recipe& recipe, const recipe::Phase& phase,
                                    const Communicator& tensor, const Communicator* pipeline,
                                    const LayerCuts& cuts) {
  PhaseData data = {.vocab_size = recipe.tokenizer.vocab_size, .label_names = {}};
  if (phase.task) data.label_names.assign(kAssumedLabels, "O");
  recipe::Phase planned = phase;
  if (planned.task) planned.task->class_weights.clear();  // the classes are not known yet
  return make_phase_model(recipe, planned, data, tensor, pipeline, cuts);
}

}  // namespace

std::unique_ptr<PhaseModel> planned_model(const recipe::Recipe& recipe, const recipe::Phase& phase,
                                          const Communicator& tensor,
                                          const Communicator* pipeline) {
  return planned(recipe, phase, tensor, pipeline, {});
}

std::unique_ptr<PhaseModel> planned_teacher(const recipe::Recipe& recipe,
                                            const recipe::Phase& phase, const Communicator& tensor,
                                            const Communicator& pipeline,
                                            const recipe::Recipe* teacher_recipe,
                                            const recipe::Phase* teacher_phase) {
  const recipe::Distil& distil = *phase.adaptation.distil;
  recipe::Recipe theirs = teacher_recipe == nullptr ? recipe : *teacher_recipe;
  theirs.precision = recipe.precision;
  theirs.parallel = recipe.parallel;
  theirs.tokenizer.vocab_size = recipe.tokenizer.vocab_size;  // it has the same tokenizer
  const recipe::Phase& their_phase =
      teacher_phase == nullptr ? *recipe::find_phase(recipe, distil.teacher) : *teacher_phase;
  return planned(theirs, their_phase, tensor, distil.kept ? nullptr : &pipeline,
                 recipe::teacher_cuts(recipe, phase, recipe::model_of(theirs, their_phase)));
}

std::vector<StagesAlike> stages_that_differ(const recipe::Recipe& recipe,
                                            const recipe::Phase& phase) {
  // What a phase says of single layers by their names, and layers of other models beside these.
  const bool may_differ = recipe::has_decoder(recipe.model, phase) || !phase.freeze.empty() ||
                          phase.unfreeze || phase.adaptation.lora || phase.adaptation.distil;
  const auto num_stages = static_cast<int>(recipe.parallel.pipeline);
  std::vector<StagesAlike> stages;
  for (int stage = 0; stage < num_stages; ++stage) {
    const bool is_like_the_one_before =
        stage >= 2 && stage + 1 < num_stages && !may_differ &&
        layers_of_stage(recipe, phase, stage) == layers_of_stage(recipe, phase, stage - 1);
    if (is_like_the_one_before) {
      ++stages.back().count;
    } else {
      stages.push_back({.first = stage});
    }
  }
  return stages;
}

}  // namespace polyphase
