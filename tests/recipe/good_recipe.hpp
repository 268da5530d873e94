// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "recipe/load.hpp"

namespace polyphase::recipe {

// A recipe without faults that uses every kind of section.
inline const char* const kGoodRecipe = R"(name: demo
seed: 7
checkpoint: {every_steps: 50, keep: 2}
tokenizer: {kind: bpe, vocab_size: 512, corpora: [text]}
corpora:
  text: {kind: text, files: [a.txt, b.txt]}
  tags: {kind: tagging, train: t.conll, valid: v.conll}
  topics: {kind: classification, train: t.tsv, valid: v.tsv, test: x.tsv}
model: {num_layers: 2, width: 32, num_heads: 4, max_tokens: 64}
parallel: {tensor: 2}
precision: bf16
limits: {wall_time: "1:30:00"}
phases:
  - name: pretrain
    objectives: {mlm: 1.0, nsp: 0.5}
    data: {text: 1.0}
    batch: {sequences: 64}
    optimizer:
      learning_rate: 5e-4
      schedule: {kind: cosine, warmup_steps: 10}
    stop: {steps: 100}
  - name: tags
    from: pretrain
    task: {kind: tagging}
    data: {tags: 1.0}
    max_tokens: 48
    stop: {epochs: 2, early: {metric: valid.f1}}
  - name: topic
    from: tags
    task: {kind: classification, pooling: first}
    data: {topics: 1.0}
    dropout: 0.2
    max_train_samples: 100
    stop: {epochs: 3}
)";

// The good recipe with the first occurrence of `old_text` replaced; both sides must differ.
inline std::string good_recipe_with(const std::string& old_text, const std::string& new_text) {
  std::string text = kGoodRecipe;
  const std::size_t at = text.find(old_text);
  POLYPHASE_PROMISE(at != std::string::npos, "the good recipe has no {}", old_text);
  return text.replace(at, old_text.size(), new_text);
}

// All faults of the text, one a line, or "" when it is a good recipe.
inline std::string faults_of(const std::string& text,
                             const std::vector<std::string>& overrides = {}) {
  try {
    parse(text, "r.yaml", overrides);
  } catch (const RecipeError& error) {
    return error.what();
  }
  return "";
}

}  // namespace polyphase::recipe
