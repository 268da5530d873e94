// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "recipe/recipe.hpp"

// What a phase can train for: one table of the self-supervised objectives and one of the supervised
// tasks. A new one is a line here, a way to make samples (corpus/sample.hpp) and a head with its
// loss (train/make_objectives.cpp).
namespace polyphase::recipe {

struct Goal {
  std::string name;                  // as a recipe writes it
  std::string words;                 // what it is, for people
  CorpusKind corpus;                 // what it trains on
  std::vector<Family> families;      // that can train for it
  std::vector<std::string> metrics;  // of an evaluation, the one that matters most in front
};

// Any that a family can train may stand beside each other in a phase.
const std::vector<Goal>& objective_goals();
const Goal* find_objective(const std::string& name);  // nullptr for a wrong name
std::vector<std::string> objective_names();

struct TaskGoal : Goal {
  TaskKind kind;
};
const std::vector<TaskGoal>& task_goals();
const TaskGoal& goal_of(TaskKind kind);
std::vector<std::string> task_names();
std::vector<std::pair<std::string, TaskKind>> task_words();

// What a phase is for, in one word or a sum: "tagging", "mlm + nsp", "generate" of one that makes a
// corpus.
std::string goal_name(const Phase& phase);
// The kind of corpus that the phase needs.
CorpusKind corpus_kind_for(const Phase& phase);

const char* family_name(Family family);

}  // namespace polyphase::recipe
