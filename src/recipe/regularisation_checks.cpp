// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"
#include "recipe/checks.hpp"
#include "recipe/goals.hpp"

namespace polyphase::recipe {
namespace {

// Divergence is between distributions over classes or tokens.
bool predicts_by_softmax(const Task& task) {
  switch (task.kind) {
    case TaskKind::kClassification:
    case TaskKind::kGeneration:
      return true;
    case TaskKind::kTagging:
      return task.head == TaskHead::kSoftmax;
    default:
      return false;
  }
}

// Answers and texts are read off the hidden states themselves.
bool drops_in_front_of_head(const Phase& phase) {
  return phase.task && phase.task->kind != TaskKind::kQuestionAnswering &&
         phase.task->kind != TaskKind::kGeneration;
}

}  // namespace

void check_regularisation(const Phase& phase, const std::string& path,
                          const std::map<std::string, Place>& places, Faults& faults) {
  const auto fault = [&](const std::string& key, const std::string& message) {
    faults.add_unless_known(nearest_place(places, path + key), message);
  };
  if (places.contains(path + ".objectives") == places.contains(path + ".task")) return;
  if (phase.regularisation.r_drop.value_or(0.0) > 0 && phase.task &&
      !predicts_by_softmax(*phase.task)) {
    fault(".r_drop",
          fmt::format(
              "r_drop is for language models, generation, classification and softmax "
              "tagging, not for {}",
              phase.task->head == TaskHead::kCrf ? "a crf head" : goal_of(phase.task->kind).name));
  }
  if (phase.regularisation.r_drop.value_or(0.0) > 0 && phase.sampling.mixup.value_or(0.0) > 0)
    fault(".r_drop",
          "r_drop compares two passes of a sequence, which mixup mixes with others; "
          "leave out one of both");
  if (phase.regularisation.head_dropout && !drops_in_front_of_head(phase)) {
    fault(".head_dropout",
          fmt::format("head_dropout is for tasks with a head on pooled states or words, not for {}",
                      goal_name(phase)));
  }
}

}  // namespace polyphase::recipe
