// SPDX-License-Identifier: Apache-2.0
#include "recipe/goals.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace polyphase::recipe {
namespace {

const std::vector<Family> kEncoders = {Family::kBert};
const std::vector<Family> kDecoders = {Family::kGpt};
const std::vector<Family> kAll = {Family::kBert, Family::kGpt, Family::kT5};
const std::vector<Family> kSeeingAll = {Family::kBert, Family::kT5};
const std::vector<Family> kGenerators = {Family::kGpt, Family::kT5};
const std::vector<std::string> kOfLanguageModels = {"loss", "accuracy", "perplexity"};

}  // namespace

const std::vector<Goal>& objective_goals() {
  static const std::vector<Goal> goals = {
      {"mlm", "masked language model", CorpusKind::kText, kEncoders, kOfLanguageModels},
      {"nsp", "next-sentence prediction", CorpusKind::kText, kEncoders, {"loss", "accuracy"}},
      {"sop", "sentence-order prediction", CorpusKind::kText, kEncoders, {"loss", "accuracy"}},
      {"clm", "causal language model", CorpusKind::kText, kDecoders, kOfLanguageModels},
      {"prefix_lm", "prefix language model", CorpusKind::kText, kGenerators, kOfLanguageModels},
      {"span", "span corruption", CorpusKind::kText, {Family::kT5}, kOfLanguageModels},
  };
  return goals;
}

const std::vector<TaskGoal>& task_goals() {
  static const std::vector<TaskGoal> goals = {
      {{"classification",
        "one class of a text or pair",
        CorpusKind::kClassification,
        kAll,
        {"accuracy", "f1", "matthews", "loss"}},
       TaskKind::kClassification},
      {{"regression",
        "a number of a text or pair",
        CorpusKind::kRegression,
        kAll,
        {"pearson", "spearman", "loss"}},
       TaskKind::kRegression},
      {{"multi_label",
        "any number of labels of a text or pair",
        CorpusKind::kMultiLabel,
        kAll,
        {"f1", "macro_f1", "accuracy", "loss"}},
       TaskKind::kMultiLabel},
      {{"tagging",
        "a tag of every word",
        CorpusKind::kTagging,
        kAll,
        {"f1", "accuracy", "precision", "recall", "loss"}},
       TaskKind::kTagging},
      {{"question_answering",
        "a span of the text that answers",
        CorpusKind::kQuestionAnswering,
        kSeeingAll,
        {"exact_match", "f1", "loss"}},
       TaskKind::kQuestionAnswering},
      {{"generation", "a text that follows from a text", CorpusKind::kGeneration, kGenerators,
        kOfLanguageModels},
       TaskKind::kGeneration},
  };
  return goals;
}

const Goal* find_objective(const std::string& name) {
  for (const Goal& goal : objective_goals()) {
    if (goal.name == name) return &goal;
  }
  return nullptr;
}

std::vector<std::string> objective_names() {
  std::vector<std::string> names;
  for (const Goal& goal : objective_goals()) names.push_back(goal.name);
  return names;
}

const TaskGoal& goal_of(TaskKind kind) {
  for (const TaskGoal& goal : task_goals()) {
    if (goal.kind == kind) return goal;
  }
  broken_promise(__FILE__, __LINE__, "a task without a goal");
}

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const TaskGoal& goal : task_goals()) names.push_back(goal.name);
  return names;
}

std::vector<std::pair<std::string, TaskKind>> task_words() {
  std::vector<std::pair<std::string, TaskKind>> words;
  for (const TaskGoal& goal : task_goals()) words.emplace_back(goal.name, goal.kind);
  return words;
}

std::string goal_name(const Phase& phase) {
  if (phase.generate) return "generate";  // known to report/run_state.hpp
  if (phase.task) return goal_of(phase.task->kind).name;
  std::string names;
  for (const auto& [name, weight] : phase.objectives) names += (names.empty() ? "" : " + ") + name;
  return names;
}

CorpusKind corpus_kind_for(const Phase& phase) {
  return phase.task ? goal_of(phase.task->kind).corpus : CorpusKind::kText;
}

const char* family_name(Family family) {
  switch (family) {
    case Family::kGpt:
      return "gpt";
    case Family::kBert:
      return "bert";
    case Family::kT5:
      return "t5";
  }
  return "";
}

}  // namespace polyphase::recipe
