// SPDX-License-Identifier: Apache-2.0
// Values that follow from a recipe's fields.
#include <algorithm>

#include "recipe/goals.hpp"
#include "recipe/load.hpp"

namespace polyphase::recipe {

std::int64_t micro_batch_of(const Phase& phase) {
  if (phase.batch.micro_batch > 0) return phase.batch.micro_batch;
  constexpr std::int64_t kLargest = 32;
  constexpr std::int64_t kFewestMicroBatches = 4;  // so that up to 4 data-parallel ranks fit
  const std::int64_t fewest = phase.batch.fewest_sequences();
  const std::int64_t bound = std::min(kLargest, fewest / kFewestMicroBatches);
  std::int64_t micro_batch = 1;
  while (micro_batch * 2 <= bound && fewest % (micro_batch * 2) == 0) {
    micro_batch *= 2;
  }
  return micro_batch;
}

double dropout_of(const Recipe& recipe, const Phase& phase) {
  return phase.dropout.value_or(recipe.model.dropout);
}

double attention_dropout_of(const Recipe& recipe, const Phase& phase) {
  return phase.attention_dropout.value_or(recipe.model.attention_dropout);
}

// A phase's own `dropout` comes before the model's rate of one place.
static double rate_of_place(const std::optional<double>& of_phase,
                            const std::optional<double>& of_model, const Recipe& recipe,
                            const Phase& phase) {
  if (of_phase) return *of_phase;
  if (of_model && !phase.dropout) return *of_model;
  return dropout_of(recipe, phase);
}

double embedding_dropout_of(const Recipe& recipe, const Phase& phase) {
  return rate_of_place(phase.regularisation.embedding_dropout, recipe.model.embedding_dropout,
                       recipe, phase);
}

double head_dropout_of(const Recipe& recipe, const Phase& phase) {
  return rate_of_place(phase.regularisation.head_dropout, recipe.model.head_dropout, recipe, phase);
}

double layer_drop_of(const Recipe& recipe, const Phase& phase) {
  return phase.regularisation.layer_drop.value_or(recipe.model.layer_drop.value_or(0.0));
}

std::int64_t max_tokens_of(const Recipe& recipe, const Phase& phase) {
  return phase.max_tokens.value_or(recipe.model.max_tokens);
}

CorpusFormat format_of(const Corpus& corpus) {
  return corpus.format.value_or(default_format(corpus.kind));
}

const Corpus* find_corpus(const Recipe& recipe, const std::string& name) {
  for (const Corpus& corpus : recipe.corpora) {
    if (corpus.name == name) return &corpus;
  }
  return nullptr;
}

const Phase* find_phase(const Recipe& recipe, const std::string& name) {
  for (const Phase& phase : recipe.phases) {
    if (phase.name == name) return &phase;
  }
  return nullptr;
}

std::vector<std::string> tokenizer_corpora(const Recipe& recipe) {
  if (!recipe.tokenizer.model.empty()) return {};
  if (!recipe.tokenizer.corpora.empty()) return recipe.tokenizer.corpora;
  std::vector<std::string> text;
  std::vector<std::string> all;
  for (const Corpus& corpus : recipe.corpora) {
    if (!corpus.made_by.empty()) continue;
    all.push_back(corpus.name);
    if (corpus.kind == CorpusKind::kText) text.push_back(corpus.name);
  }
  return text.empty() ? all : text;
}

std::vector<std::string> makers_of(const Recipe& recipe, const Phase& phase) {
  std::vector<std::string> names;
  for (const auto& [name, weight] : phase.data) {
    const Corpus* corpus = find_corpus(recipe, name);
    if (corpus != nullptr && !corpus->made_by.empty()) names.push_back(corpus->made_by);
  }
  return names;
}

Recipe without_made_corpora(const Recipe& recipe) {
  Recipe given = recipe;
  std::erase_if(given.corpora, [](const Corpus& corpus) { return !corpus.made_by.empty(); });
  return given;
}

std::vector<std::string> metrics_of(const Phase& phase) {
  if (phase.task) return goal_of(phase.task->kind).metrics;
  std::vector<std::string> metrics;
  const bool several = phase.objectives.size() > 1;
  if (several) metrics.push_back("loss");
  for (const auto& [name, weight] : phase.objectives) {
    const Goal* goal = find_objective(name);
    if (goal == nullptr) continue;
    for (const std::string& metric : goal->metrics)
      metrics.push_back(several ? name + "_" + metric : metric);
  }
  return metrics;
}

std::vector<std::string> evaluated_metrics(const Phase& phase) {
  std::vector<std::string> metrics = metrics_of(phase);
  if (phase.data.size() == 1) return metrics;
  for (const auto& [corpus, weight] : phase.data) {
    for (const std::string& metric : metrics_of(phase)) metrics.push_back(corpus + "." + metric);
  }
  return metrics;
}

}  // namespace polyphase::recipe
